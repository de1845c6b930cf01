{{/* A password that is made once: what the Secret in the cluster has, unless `rotation` was raised since.
     (dict "root" $ "secret" NAME "rotation" NUMBER) */}}
{{- define "tickplane.password" -}}
{{- $existing := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- $made := dig "metadata" "annotations" "tickplane.io/rotation" "" $existing -}}
{{- if and $existing (eq $made (toString (int64 .rotation))) -}}
{{ index $existing.data "password" | b64dec }}
{{- else -}}
{{ randAlphaNum 32 }}
{{- end -}}
{{- end }}

{{/* One Secret: (dict "root" $ "secret" NAME "rotation" NUMBER "username" USER "part" LABEL "labels" MORE) */}}
{{- define "tickplane.secret" -}}
{{- if .root.Values.global.makeSecrets -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .secret }}
  labels:
    {{- include "service.labels" (dict "root" .root "name" .part) | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # What it opens stays too.
    helm.sh/resource-policy: keep
    tickplane.io/rotation: {{ .rotation | int64 | quote }}
type: kubernetes.io/basic-auth
stringData:
  username: {{ .username }}
  password: {{ include "tickplane.password" . }}
{{- end }}
{{- end }}

{{/* Annotations of what holds data: it stays when the chart is uninstalled. */}}
{{- define "tickplane.keep" -}}
helm.sh/resource-policy: keep
{{- end }}

{{/* A duration of Prometheus (`1h30m`) times a number, in seconds: (dict "duration" "1h30m" "scale" 0.1) is 540s. */}}
{{- define "tickplane.scaledDuration" -}}
{{- $units := dict "s" 1 "m" 60 "h" 3600 "d" 86400 -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll "[0-9]+[smhd]" .duration -1 -}}
{{- $seconds = addf $seconds (mulf (regexFind "[0-9]+" .) (index $units (regexFind "[smhd]" .))) -}}
{{- end -}}
{{ mulf $seconds .scale | printf "%.0fs" }}
{{- end }}
