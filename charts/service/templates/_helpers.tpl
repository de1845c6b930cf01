{{/*
Helpers of both charts. Where a template needs to know which service, it takes (dict "root" $ "name" "recorder").
*/}}

{{- define "service.fullname" -}}
{{ printf "%s-%s" .root.Release.Name .name }}
{{- end }}

{{/* What Services, policies and budgets select by: never changes. */}}
{{- define "service.selectorLabels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "service.labels" -}}
{{ include "service.selectorLabels" . }}
app.kubernetes.io/part-of: tickplane
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* A pod's labels: no version among them, so that a new chart alone restarts nothing. */}}
{{- define "service.podLabels" -}}
{{ include "service.selectorLabels" . }}
app.kubernetes.io/part-of: tickplane
{{- end }}

{{/* (dict "repository" .. "tag" .. "digest" ..): the digest, where there is one, decides. */}}
{{- define "service.image" -}}
{{ .repository }}{{ with .tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Restricted by Pod Security's word, and no more than the container needs. */}}
{{- define "service.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "service.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/*
Where each password is: under the key `password` of the chart's own Secret, or of the one that the values name. Each service
has a Secret of its own.
*/}}
{{- define "service.postgresSecret" -}}
{{- $external := .root.Values.global.postgres.external -}}
{{- if $external.enabled -}}
{{- index $external.secrets .name | required (printf "global.postgres.external.secrets.%s: name the Secret with its `password`" .name) -}}
{{- else -}}
{{ printf "%s-postgres-%s" .root.Release.Name .name }}
{{- end -}}
{{- end }}

{{/* The user's name in Postgres. */}}
{{- define "service.postgresUser" -}}
{{- index .root.Values.global.postgres.users .name -}}
{{- end }}

{{/* Without a password. */}}
{{- define "service.postgresUrl" -}}
{{- $external := .root.Values.global.postgres.external -}}
{{- $host := printf "%s-postgres-rw.%s.svc:5432" .root.Release.Name .root.Release.Namespace -}}
{{- $options := list -}}
{{- if $external.enabled -}}
{{- $host = printf "%s:%d" (required "global.postgres.external.host: where Postgres is" $external.host) (int $external.port) -}}
{{- with $external.options }}{{ $options = append $options . }}{{ end -}}
{{- else -}}
{{- $options = append $options "sslmode=verify-full" -}}
{{- end -}}
{{- if include "service.postgresCaSecret" . -}}
{{- $options = append $options "sslrootcert=/etc/tickplane/postgres-ca/ca.crt" -}}
{{- end -}}
postgresql://{{ include "service.postgresUser" . }}@{{ $host }}/{{ .root.Values.global.postgres.database }}{{ with join "&" $options }}?{{ . }}{{ end -}}
{{- end }}

{{/* Empty where an external Valkey asks for no password. */}}
{{- define "service.valkeySecret" -}}
{{- $external := .root.Values.global.valkey.external -}}
{{- if $external.enabled }}{{ $external.secret }}{{ else }}{{ printf "%s-valkey" .root.Release.Name }}{{ end -}}
{{- end }}

{{- define "service.valkeyUrl" -}}
{{- $external := .root.Values.global.valkey.external -}}
{{- if $external.enabled -}}
{{ required "global.valkey.external.url: redis://host:6379/0, without a password" $external.url }}
{{- else -}}
{{ printf "redis://%s-valkey.%s.svc:6379/0" .root.Release.Name .root.Release.Namespace }}
{{- end -}}
{{- end }}

{{/* Empty where Kafka asks for no password. */}}
{{- define "service.kafkaSecret" -}}
{{- $external := .root.Values.global.kafka.external -}}
{{- if not $external.enabled -}}
{{ printf "%s-kafka-%s" .root.Release.Name .name }}
{{- else if hasPrefix "SASL" $external.securityProtocol -}}
{{- index $external.secrets .name | required (printf "global.kafka.external.secrets.%s: name the Secret that holds `username` and `password`" .name) -}}
{{- end -}}
{{- end }}

{{/* The Secret that holds Kafka's CA under ca.crt; empty where the image's own CAs or no TLS will do. */}}
{{- define "service.kafkaCaSecret" -}}
{{- $external := .root.Values.global.kafka.external -}}
{{- if $external.enabled }}{{ $external.caSecret }}{{ else }}{{ printf "%s-cluster-ca-cert" .root.Release.Name }}{{ end -}}
{{- end }}

{{- define "service.postgresCaSecret" -}}
{{- $external := .root.Values.global.postgres.external -}}
{{- if $external.enabled }}{{ $external.caSecret }}{{ else }}{{ printf "%s-postgres-ca" .root.Release.Name }}{{ end -}}
{{- end }}

{{- define "service.kafkaBootstrapServers" -}}
{{- $external := .root.Values.global.kafka.external -}}
{{- if $external.enabled -}}
{{- required "global.kafka.external.bootstrapServers: host:port, comma-separated" $external.bootstrapServers -}}
{{- else -}}
{{ printf "%s-kafka-bootstrap.%s.svc:9093" .root.Release.Name .root.Release.Namespace }}
{{- end -}}
{{- end }}

{{- define "service.kafkaSecurityProtocol" -}}
{{- $external := .root.Values.global.kafka.external -}}
{{- if $external.enabled }}{{ $external.securityProtocol }}{{ else }}SASL_SSL{{ end -}}
{{- end }}

{{- define "service.kafkaSaslMechanism" -}}
{{- $external := .root.Values.global.kafka.external -}}
{{- if $external.enabled }}{{ $external.saslMechanism }}{{ else }}SCRAM-SHA-512{{ end -}}
{{- end }}

{{/* Where everything is: what is no secret. */}}
{{- define "service.connections" -}}
{{- $fact := include "service.fact" . | fromYaml -}}
{{- if $fact.acls }}
KAFKA_BOOTSTRAP_SERVERS: {{ include "service.kafkaBootstrapServers" . | quote }}
KAFKA_SECURITY_PROTOCOL: {{ include "service.kafkaSecurityProtocol" . | quote }}
{{- if include "service.kafkaSecret" . }}
KAFKA_SASL_MECHANISM: {{ include "service.kafkaSaslMechanism" . | quote }}
{{- end }}
{{- if include "service.kafkaCaSecret" . }}
KAFKA_CA_FILE: /etc/tickplane/kafka-ca/ca.crt
{{- end }}
TICKPLANE_PARTITIONS: {{ .root.Values.global.partitions | int64 | quote }}
TICKPLANE_MARKET_GROUPS: {{ .root.Values.global.marketGroups | int64 | quote }}
{{- end }}
{{- if has "postgres" ($fact.stores | default list) }}
DATABASE_URL: {{ include "service.postgresUrl" . | quote }}
{{- end }}
{{- if has "valkey" ($fact.stores | default list) }}
REDIS_URL: {{ include "service.valkeyUrl" . | quote }}
{{- end }}
{{- end }}

{{/* Where a service is called, and where those are that it calls: by each pod's own address, so that calls are spread. */}}
{{- define "service.calls" -}}
{{- $fact := include "service.fact" . | fromYaml -}}
{{- with $fact.called }}
{{ .variable }}: {{ printf "0.0.0.0:%d" (int .port) | quote }}
{{- end }}
{{- range $name := $fact.calls }}
{{- $called := (include "service.fact" (dict "name" $name) | fromYaml).called }}
{{ $called.variable }}: {{ printf "dns:///%s-%s.%s.svc:%d" $.root.Release.Name $name $.root.Release.Namespace (int $called.port) | quote }}
{{- end }}
{{- end }}

{{/* The passwords of one service, and nobody else's: from their Secrets straight into its environment. */}}
{{- define "service.secretEnv" -}}
{{- $fact := include "service.fact" . | fromYaml -}}
{{- $kafka := and $fact.acls (include "service.kafkaSecret" .) }}
{{- if $kafka }}
{{ include "service.envFromSecret" (list "KAFKA_SASL_USERNAME" $kafka "username") }}
{{ include "service.envFromSecret" (list "KAFKA_SASL_PASSWORD" $kafka "password") }}
{{- end }}
{{- if has "postgres" ($fact.stores | default list) }}
{{ include "service.envFromSecret" (list "DATABASE_PASSWORD" (include "service.postgresSecret" .) "password") }}
{{- end }}
{{- if has "valkey" ($fact.stores | default list) }}
{{- with include "service.valkeySecret" . }}
{{ include "service.envFromSecret" (list "REDIS_PASSWORD" . "password") }}
{{- end }}
{{- end }}
{{- end }}

{{- define "service.envFromSecret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 2 }}}
{{- end }}

{{/* The folders of one service: a small one to write to, and the CAs. */}}
{{- define "service.volumes" -}}
{{- $fact := include "service.fact" . | fromYaml -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if and $fact.acls (include "service.kafkaCaSecret" .) }}
- name: kafka-ca
  secret: {secretName: {{ include "service.kafkaCaSecret" . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- if and (has "postgres" ($fact.stores | default list)) (include "service.postgresCaSecret" .) }}
- name: postgres-ca
  secret: {secretName: {{ include "service.postgresCaSecret" . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}

{{- define "service.volumeMounts" -}}
{{- $fact := include "service.fact" . | fromYaml -}}
- {name: tmp, mountPath: /tmp}
{{- if and $fact.acls (include "service.kafkaCaSecret" .) }}
- {name: kafka-ca, mountPath: /etc/tickplane/kafka-ca, readOnly: true}
{{- end }}
{{- if and (has "postgres" ($fact.stores | default list)) (include "service.postgresCaSecret" .) }}
- {name: postgres-ca, mountPath: /etc/tickplane/postgres-ca, readOnly: true}
{{- end }}
{{- end }}

{{/* A pod's annotation for each store it has a password of: raised in the values, it takes the password anew. */}}
{{- define "service.rotation" -}}
{{- $fact := include "service.fact" . | fromYaml -}}
{{- $global := .root.Values.global -}}
{{- range $fact.stores }}
tickplane.io/{{ . }}-rotation: {{ (index $global .).rotation | int64 | quote }}
{{- end }}
{{- if $fact.acls }}
tickplane.io/kafka-rotation: {{ $global.kafka.rotation | int64 | quote }}
{{- end }}
{{- end }}

{{/* Egress rules of a NetworkPolicy: names, the stores of the service, and those of ours that it calls. */}}
{{- define "service.egress" -}}
{{- $fact := include "service.fact" . | fromYaml -}}
{{- $global := .root.Values.global -}}
{{- $release := .root.Release.Name -}}
- to: {{ $global.networkPolicy.dns | toJson }}
  ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- if $fact.acls }}
{{- if $global.kafka.external.enabled }}
{{ include "service.egressToCidrs" $global.kafka.external }}
{{- else }}
- to:
    - podSelector:
        matchLabels: {strimzi.io/cluster: {{ $release }}, strimzi.io/kind: Kafka}
  ports: [{port: 9093, protocol: TCP}]
{{- end }}
{{- end }}
{{- if has "postgres" ($fact.stores | default list) }}
{{- if $global.postgres.external.enabled }}
{{ include "service.egressToCidrs" $global.postgres.external }}
{{- else }}
- to:
    - podSelector:
        matchLabels: {cnpg.io/cluster: {{ $release }}-postgres}
  ports: [{port: 5432, protocol: TCP}]
{{- end }}
{{- end }}
{{- if has "valkey" ($fact.stores | default list) }}
{{- if $global.valkey.external.enabled }}
{{ include "service.egressToCidrs" $global.valkey.external }}
{{- else }}
- to:
    - podSelector:
        matchLabels: {app.kubernetes.io/name: valkey, app.kubernetes.io/instance: {{ $release }}}
  ports: [{port: 6379, protocol: TCP}]
{{- end }}
{{- end }}
{{- range $name := $fact.calls }}
- to:
    - podSelector:
        matchLabels: {{- include "service.selectorLabels" (dict "root" $.root "name" $name) | nindent 10 }}
  ports: [{port: {{ (include "service.fact" (dict "name" $name) | fromYaml).called.port }}, protocol: TCP}]
{{- end }}
{{- with $global.networkPolicy.traces }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "service.egressToCidrs" -}}
- to:
    {{- range .cidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports: {{- include "service.tcpPorts" .ports | nindent 4 }}
{{- end }}

{{- define "service.tcpPorts" -}}
{{- range . }}
- {port: {{ int64 . }}, protocol: TCP}
{{- end }}
{{- end }}

{{/* Peers of a NetworkPolicy: every pod in these namespaces. */}}
{{- define "service.namespaces" -}}
{{- range . }}
- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}
{{- end }}
{{- end }}

{{/* What the operator is told about the feeds it makes. */}}
{{- define "service.operatorConfig" -}}
{{- $global := .root.Values.global -}}
{{- $feed := dict "root" .root "name" "feed" -}}
TICKPLANE_OPERATOR_NAMESPACE: {{ .root.Release.Namespace }}
TICKPLANE_OPERATOR_WATCH_NAMESPACES: {{ ternary "*" "" $global.feeds.allNamespaces | quote }}
TICKPLANE_FEED_IMAGE: {{ include "service.image" $global.image | quote }}
TICKPLANE_FEED_IMAGE_PULL_SECRETS: {{ include "service.names" $global.imagePullSecrets | quote }}
TICKPLANE_FEED_KAFKA_BOOTSTRAP_SERVERS: {{ include "service.kafkaBootstrapServers" $feed | quote }}
TICKPLANE_FEED_KAFKA_SECURITY_PROTOCOL: {{ include "service.kafkaSecurityProtocol" $feed | quote }}
TICKPLANE_FEED_KAFKA_SASL_MECHANISM: {{ include "service.kafkaSaslMechanism" $feed | quote }}
TICKPLANE_FEED_KAFKA_SECRET: {{ include "service.kafkaSecret" $feed | quote }}
TICKPLANE_FEED_KAFKA_CA_SECRET: {{ include "service.kafkaCaSecret" $feed | quote }}
TICKPLANE_FEED_SCRAPER_NAMESPACES: {{ join "," $global.networkPolicy.monitoringNamespaces | quote }}
TICKPLANE_FEED_POD_ANNOTATIONS: {{ include "service.rotation" $feed | fromYaml | toJson | quote }}
TICKPLANE_FEED_MONITOR_LABELS: {{ $global.monitoring.labels | toJson | quote }}
TICKPLANE_PARTITIONS: {{ $global.partitions | int64 | quote }}
{{- end }}

{{/* The names of a list of references, comma-separated. */}}
{{- define "service.names" -}}
{{- $names := list -}}
{{- range . }}{{ $names = append $names .name }}{{ end -}}
{{ join "," $names }}
{{- end }}
