{{/*
Every group of values may be missing, as `metrics:` with nothing after it takes the group away: read through
`(.Values.group).key`, and write what Kubernetes has no default for with `default`. What a user or a release gives as a
name is quoted, since YAML takes `2024` and `0x1F` for numbers.
*/}}

{{/* Whether what is on by default is: only `false` switches it off, a value left empty does not. Empty is no. */}}
{{- define "unstructured-operator.on" -}}
{{- if ne (toString .) "false" }}true{{ end }}
{{- end }}

{{- define "unstructured-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "unstructured-operator.fullname" -}}
{{- $name := include "unstructured-operator.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "unstructured-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* The name of what is not in the release's namespace: releases of one name in two namespaces do not share it. */}}
{{- define "unstructured-operator.clustername" -}}
{{- printf "%s:%s" (include "unstructured-operator.namespace" .) (include "unstructured-operator.fullname" .) }}
{{- end }}

{{- define "unstructured-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "unstructured-operator.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Refuses labels that would take the place of the chart's own, by which its objects find each other. Renders nothing. */}}
{{- define "unstructured-operator.checkLabels" -}}
{{- range $value := list "commonLabels" "podLabels" }}
{{- range $label, $_ := default dict (get $.Values $value) }}
{{- if has $label (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart") }}
{{- fail (printf "%s sets %s, which the chart sets: leave it out" $value $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* All labels of an object of `root`: those of `labels` and commonLabels, and the chart's own over them. */}}
{{- define "unstructured-operator.labels" -}}
{{- $root := .root }}
{{- include "unstructured-operator.checkLabels" $root }}
{{- $own := include "unstructured-operator.selectorLabels" $root | fromYaml }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $_ := set $own "app.kubernetes.io/version" $root.Chart.AppVersion }}
{{- $_ := set $own "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- toYaml (mergeOverwrite (deepCopy (default dict $root.Values.commonLabels)) (default dict .labels) $own) }}
{{- end }}

{{/* The metadata of an object of `root`: `name`, and as far as given `namespace`, `labels` and `annotations`. */}}
{{- define "unstructured-operator.metadata" -}}
{{- $metadata := dict "name" .name "labels" (include "unstructured-operator.labels" . | fromYaml) }}
{{- with .namespace }}{{ $_ := set $metadata "namespace" . }}{{ end }}
{{- with .annotations }}{{ $_ := set $metadata "annotations" . }}{{ end }}
{{- toYaml $metadata }}
{{- end }}

{{- define "unstructured-operator.serviceAccountName" -}}
{{- $account := default dict .Values.serviceAccount }}
{{- $made := not (empty (include "unstructured-operator.on" $account.create)) }}
{{- default (ternary (include "unstructured-operator.fullname" .) "default" $made) $account.name }}
{{- end }}

{{- define "unstructured-operator.image" -}}
{{- $image := default dict .Values.image }}
{{- if eq (toString $image.registry) "registry.example.com" }}
{{- fail "image.registry is still the placeholder registry.example.com: no image is published yet, so build one and push it as docs/operations.md says under \"Build and push the image\", then set image.registry and image.repository" }}
{{- end }}
{{- $reference := printf "%s:%s" (default .Chart.Name $image.repository) (default .Chart.AppVersion $image.tag) }}
{{- with $image.registry }}{{ $reference = printf "%s/%s" . $reference }}{{ end }}
{{- with $image.digest }}{{ $reference = printf "%s@%s" $reference . }}{{ end }}
{{- $reference }}
{{- end }}

{{/* The Secret that holds the operator's own API key; empty without one. */}}
{{- define "unstructured-operator.apiKeySecret" -}}
{{- with .Values.apiKey }}
{{- if and .existingSecret .value }}
{{- fail "apiKey.existingSecret and apiKey.value are both set: keep one" }}
{{- end }}
{{- if .value }}{{ include "unstructured-operator.fullname" $ }}-api-key{{ else }}{{ default "" .existingSecret }}{{ end }}
{{- end }}
{{- end }}

{{- define "unstructured-operator.apiKeyKey" -}}
{{- default "api_key" (.Values.apiKey).key }}
{{- end }}

{{/* What the pods of the Deployment and of the uninstall hook have in common. */}}
{{- define "unstructured-operator.podPlacement" -}}
{{- $spec := dict "enableServiceLinks" false "securityContext" (default dict .Values.podSecurityContext) }}
{{- range $key := list "imagePullSecrets" "priorityClassName" "nodeSelector" "tolerations" "dnsPolicy" "dnsConfig" "hostAliases" }}
{{- with get $.Values $key }}{{ $_ := set $spec $key . }}{{ end }}
{{- end }}
{{- toYaml $spec }}
{{- end }}

{{/* The plural of every kind, one for each of its parts: "" for the resource, "/status" for its status, and so on. */}}
{{- define "unstructured-operator.resources" -}}
{{- $resources := list }}
{{- range $path, $_ := .root.Files.Glob "files/crds/*.yaml" }}
{{- range $part := default (list "") $.parts }}
{{- $resources = append $resources (printf "%s%s" (base $path | trimSuffix ".yaml") $part) }}
{{- end }}
{{- end }}
{{- toJson $resources }}
{{- end }}

{{/* The rights on resources and what they refer to: for all namespaces, or in each of those watched. */}}
{{- define "unstructured-operator.rules" -}}
- apiGroups: [connectors.unstructured.io]
  resources: {{ include "unstructured-operator.resources" (dict "root" .) }}
  verbs: [get, list, watch, patch]
- apiGroups: [connectors.unstructured.io]
  resources: {{ include "unstructured-operator.resources" (dict "root" . "parts" (list "/status")) }}
  verbs: [update]
# Where the admission plugin OwnerReferencesPermissionEnforcement asks for it.
- apiGroups: [connectors.unstructured.io]
  resources: {{ include "unstructured-operator.resources" (dict "root" . "parts" (list "/finalizers")) }}
  verbs: [update]
# The annotation run-at makes a job; history and time to live take finished ones away.
- apiGroups: [connectors.unstructured.io]
  resources: [unstructuredjobs]
  verbs: [create, delete]
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
