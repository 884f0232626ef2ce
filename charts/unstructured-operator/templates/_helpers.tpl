{{- define "unstructured-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "unstructured-operator.fullname" -}}
{{- $name := include "unstructured-operator.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "unstructured-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "unstructured-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "unstructured-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "unstructured-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "unstructured-operator.serviceAccountName" -}}
{{- $default := ternary (include "unstructured-operator.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $default .Values.serviceAccount.name }}
{{- end }}

{{- define "unstructured-operator.image" -}}
{{- with .Values.image }}
{{- $reference := printf "%s/%s:%s" .registry .repository (default $.Chart.AppVersion .tag) }}
{{- with .digest }}{{ $reference = printf "%s@%s" $reference . }}{{ end }}
{{- $reference }}
{{- end }}
{{- end }}

{{/* The Secret that holds the operator's own API key; empty without one. */}}
{{- define "unstructured-operator.apiKeySecret" -}}
{{- with .Values.apiKey }}
{{- if and .existingSecret .value }}
{{- fail "apiKey.existingSecret and apiKey.value are both set: keep one" }}
{{- end }}
{{- if .value }}{{ include "unstructured-operator.fullname" $ }}-api-key{{ else }}{{ .existingSecret }}{{ end }}
{{- end }}
{{- end }}

{{/* The rights on resources and what they refer to: for all namespaces, or in each of those watched. */}}
{{- define "unstructured-operator.rules" -}}
- apiGroups: [connectors.unstructured.io]
  resources: [dropboxsources]
  verbs: [get, list, watch, patch]
- apiGroups: [connectors.unstructured.io]
  resources: [dropboxsources/status]
  verbs: [update]
# Where the admission plugin OwnerReferencesPermissionEnforcement asks for it.
- apiGroups: [connectors.unstructured.io]
  resources: [dropboxsources/finalizers]
  verbs: [update]
# Watched by their metadata; a value is fetched when a resource needs it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
# Whether a namespace is going, and, for all namespaces, the identity of kube-system.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
