{{- define "halftone.selector" -}}
app.kubernetes.io/name: halftone
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "halftone.labels" -}}
{{ include "halftone.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
