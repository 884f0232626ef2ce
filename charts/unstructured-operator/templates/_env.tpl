{{/* The operator's options that are values, by the variable that each is given in. Nothing stands for the operator's own default. */}}
{{- define "unstructured-operator.options" -}}
{{- $config := default dict .Values.config }}
ALLOWED_API_HOSTS: {{ join "," $config.allowedApiHosts | quote }}
ALLOW_INSECURE_HTTP: {{ default false $config.allowInsecureHttp }}
CLUSTER_NAME: {{ default "" .Values.clusterName | quote }}
DROPBOX_API_URL: {{ default "" $config.dropboxApiUrl | quote }}
LOG_FORMAT: {{ default "" $config.logFormat | quote }}
LOG_LEVEL: {{ default "" $config.logLevel | quote }}
JOB_INTERVAL: {{ default "" $config.jobInterval | quote }}
MAX_CONCURRENT_RECONCILES: {{ default "" $config.maxConcurrentReconciles }}
MAX_CONCURRENT_REQUESTS: {{ default "" $config.maxConcurrentRequests }}
MAX_INVENTORY_MEMORY: {{ default "" $config.maxInventoryMemory | quote }}
MAX_REQUESTS_PER_SECOND: {{ default "" $config.maxRequestsPerSecond }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ default "" $config.otlpEndpoint | quote }}
PINECONE_API_URL: {{ default "" $config.pineconeApiUrl | quote }}
REQUEST_TIMEOUT: {{ default "" $config.requestTimeout | quote }}
SETTLE_TIME: {{ default "" $config.settleTime | quote }}
SYNC_INTERVAL: {{ default "" $config.syncInterval | quote }}
UNSTRUCTURED_API_URL: {{ default "" $config.apiUrl | quote }}
VALIDATE_DROPBOX_CREDENTIALS: {{ include "unstructured-operator.on" $config.validateDropboxCredentials | default "false" }}
VALIDATE_PINECONE_CREDENTIALS: {{ include "unstructured-operator.on" $config.validatePineconeCredentials | default "false" }}
WATCH_LABEL_SELECTOR: {{ default "" $config.watchLabelSelector | quote }}
{{- end }}

{{/* The environment of the container: what the chart sets, the options, and extraEnv, which wins over options. */}}
{{- define "unstructured-operator.env" -}}
{{- $own := dict
  "LEADER_ELECT" "a release needs the Lease, whatever replicaCount is"
  "LEASE_NAME" "the Lease has the release's full name: use fullnameOverride"
  "LISTEN" "the probes and the Service expect port 8080"
  "POD_NAME" "it is the pod's own"
  "POD_NAMESPACE" "it is the pod's own: use namespaceOverride"
  "UNSTRUCTURED_API_KEY_FILE" "use apiKey.existingSecret"
  "WATCH_NAMESPACES" "each namespace needs a Role: use watchNamespaces"
}}
{{- $extra := dict }}
{{- range $variable := .Values.extraEnv }}
{{- with get $own $variable.name }}
{{- fail (printf "extraEnv sets %s, which the chart sets: %s" $variable.name .) }}
{{- end }}
{{- $_ := set $extra $variable.name true }}
{{- end }}
{{- $apiKeySecret := include "unstructured-operator.apiKeySecret" . }}
{{- if and $apiKeySecret (hasKey $extra "UNSTRUCTURED_API_KEY") }}
{{- fail "extraEnv sets UNSTRUCTURED_API_KEY, and apiKey gives a key too: keep one" }}
{{- end }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: LEASE_NAME
  value: {{ include "unstructured-operator.fullname" . | quote }}
{{- with .Values.watchNamespaces }}
- name: WATCH_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
{{- if $apiKeySecret }}
- name: UNSTRUCTURED_API_KEY_FILE
  value: {{ printf "/etc/unstructured-operator/%s" (include "unstructured-operator.apiKeyKey" .) | quote }}
{{- end }}
{{- range $name, $value := include "unstructured-operator.options" . | fromYaml }}
{{- if and (ne (toString $value) "") (not (kindIs "invalid" $value)) (not (hasKey $extra $name)) }}
- name: {{ $name }}
  value: {{ toString $value | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
