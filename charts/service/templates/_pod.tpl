{{/* The template of one service's pods: what makes them differs, they do not. */}}
{{- define "service.pod" -}}
{{- $me := dict "root" . "name" .Chart.Name -}}
{{- $fact := include "service.fact" $me | fromYaml -}}
{{- $fullname := include "service.fullname" $me -}}
{{- $probes := .Values.probes -}}
metadata:
  labels:
    {{- include "service.podLabels" $me | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "service.config" $me | sha256sum }}
    {{- include "service.rotation" $me | indent 4 }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ $fullname }}
  automountServiceAccountToken: {{ default false $fact.apiServer }}
  enableServiceLinks: false
  # The endpoint is gone before the process is asked to stop, and the process is given more than its own grace.
  terminationGracePeriodSeconds: {{ add .Values.preStopSeconds (.Values.settings.TICKPLANE_DRAIN_S | default 0) .Values.graceSeconds 5 }}
  securityContext: {{- include "service.podSecurityContext" . | nindent 4 }}
  {{- with .Values.global.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ $key }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "service.selectorLabels" $me | nindent 10 }}
      matchLabelKeys: [{{ ternary "controller-revision-hash" "pod-template-hash" (hasKey $fact "marketGroupVariable") }}]
    {{- end }}
  containers:
    - name: {{ .Chart.Name }}
      image: {{ include "service.image" .Values.global.image }}
      imagePullPolicy: {{ .Values.global.image.pullPolicy }}
      args: [{{ .Chart.Name }}]
      envFrom:
        - configMapRef: {name: {{ $fullname }}}
      {{- with include "service.podEnv" $me | trim }}
      env: {{- . | nindent 8 }}
      {{- end }}
      ports:
        - {name: ops, containerPort: 9000, protocol: TCP}
        {{- with $fact.public }}
        - {name: http, containerPort: {{ . }}, protocol: TCP}
        {{- end }}
        {{- with $fact.called }}
        - {name: grpc, containerPort: {{ .port }}, protocol: TCP}
        {{- end }}
      startupProbe:
        httpGet: {path: /health, port: ops}
        {{- toYaml $probes.startup | nindent 8 }}
      readinessProbe:
        httpGet: {path: "/ready?scope=self", port: ops}
        {{- toYaml $probes.readiness | nindent 8 }}
      livenessProbe:
        httpGet: {path: /health, port: ops}
        {{- toYaml $probes.liveness | nindent 8 }}
      {{- with .Values.preStopSeconds }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ . }}}
      {{- end }}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      securityContext: {{- include "service.containerSecurityContext" . | nindent 8 }}
      volumeMounts: {{- include "service.volumeMounts" $me | nindent 8 }}
  volumes: {{- include "service.volumes" $me | nindent 4 }}
{{- end }}

{{/* What differs from pod to pod, or is a secret. */}}
{{- define "service.podEnv" -}}
{{- with (include "service.fact" . | fromYaml).marketGroupVariable }}
- name: {{ . }}
  valueFrom:
    fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}
{{- end }}
{{- include "service.secretEnv" . }}
{{- end }}
