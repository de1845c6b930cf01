{{/*
What each service is: facts of its code, which nobody sets (values hold the choices). Made by charts/generate.py from
services/contracts/access.py and the settings.
  acls                  what Kafka has to let it do; none: it does not speak to Kafka
  group                 its consumer group
  stores                which of postgres and valkey it speaks to
  public, hostVariable  the port that the edge reaches it by, and the setting that says where it listens
  called                where others of ours call it: the port, the setting that tells both sides, and who they are
  calls                 which of ours it calls
  marketGroupVariable   of those that have one pod a market group: the setting that says which is this one's
  apiServer, feeds      whether it speaks to the API server, and to feeds' ops ports
*/}}
{{- define "service.facts" -}}
feed:
  acls:
  - type: topic
    name: feed_state
    operations:
    - Describe
    - Read
    - Write
  - type: topic
    name: market_trades
    operations:
    - Describe
    - Write
  - type: topic
    name: market_trades.dlq
    operations:
    - Describe
    - Write
  - type: topic
    name: raw_frames
    operations:
    - Describe
    - Write
recorder:
  acls:
  - type: topic
    name: feed_state
    operations:
    - Describe
    - Read
  - type: topic
    name: market_trades
    operations:
    - Describe
    - Read
  - type: topic
    name: market_trades.dlq
    operations:
    - Describe
    - Write
  - type: group
    name: raw_consumer
    operations:
    - Read
  group: raw_consumer
  stores:
  - postgres
  - valkey
candles:
  acls:
  - type: topic
    name: candles
    operations:
    - Describe
    - Write
  - type: topic
    name: feed_state
    operations:
    - Describe
    - Read
  - type: topic
    name: market_trades
    operations:
    - Describe
    - Read
  - type: group
    name: candle_builder
    operations:
    - Read
  group: candle_builder
  stores:
  - postgres
indicators:
  acls:
  - type: topic
    name: candles
    operations:
    - Describe
    - Read
  - type: topic
    name: feed_state
    operations:
    - Describe
    - Read
  - type: topic
    name: indicators
    operations:
    - Describe
    - Write
  - type: topic
    name: market_trades
    operations:
    - Describe
    - Read
  - type: group
    name: indicator_engine
    operations:
    - Read
  group: indicator_engine
  stores:
  - postgres
  - valkey
gateway:
  acls:
  - type: topic
    name: book
    operations:
    - Describe
    - Read
  - type: topic
    name: candles
    operations:
    - Describe
    - Read
  - type: topic
    name: executions
    operations:
    - Describe
    - Read
  - type: topic
    name: feed_state
    operations:
    - Describe
    - Read
  - type: topic
    name: indicators
    operations:
    - Describe
    - Read
  - type: topic
    name: market_trades
    operations:
    - Describe
    - Read
  - type: topic
    name: validated_trades
    operations:
    - Describe
    - Read
  stores:
  - valkey
  public: 8002
  hostVariable: TICKPLANE_GATEWAY_HOST
  calls:
  - validator
api:
  acls:
  - type: topic
    name: book
    operations:
    - Describe
  - type: topic
    name: candles
    operations:
    - Describe
  - type: topic
    name: executions
    operations:
    - Describe
  - type: topic
    name: feed_state
    operations:
    - Describe
  - type: topic
    name: indicators
    operations:
    - Describe
  - type: topic
    name: market_trades
    operations:
    - Describe
  - type: topic
    name: market_trades.dlq
    operations:
    - Describe
  - type: topic
    name: orders
    operations:
    - Describe
  - type: topic
    name: orders.dlq
    operations:
    - Describe
  - type: topic
    name: raw_frames
    operations:
    - Describe
  - type: topic
    name: raw_ticks
    operations:
    - Describe
  - type: topic
    name: raw_ticks.dlq
    operations:
    - Describe
  - type: topic
    name: validated_trades
    operations:
    - Describe
  stores:
  - postgres
  - valkey
  public: 8001
  hostVariable: TICKPLANE_API_HOST
validator:
  acls:
  - type: topic
    name: feed_state
    operations:
    - Describe
    - Read
  - type: topic
    name: raw_ticks
    operations:
    - Describe
    - Read
  - type: topic
    name: raw_ticks.dlq
    operations:
    - Describe
    - Write
  - type: topic
    name: validated_trades
    operations:
    - Describe
    - Read
    - Write
  - type: group
    name: validator
    operations:
    - Read
  group: validator
  stores:
  - postgres
  called:
    port: 50051
    variable: GRPC_SERVER_ADDRESS
    by:
    - gateway
orders:
  acls:
  - type: topic
    name: orders
    operations:
    - Describe
    - Write
  stores:
  - postgres
  - valkey
  public: 8003
  hostVariable: TICKPLANE_ORDERS_HOST
matching:
  acls:
  - type: topic
    name: book
    operations:
    - Describe
    - Write
  - type: topic
    name: executions
    operations:
    - Describe
    - Write
  - type: topic
    name: feed_state
    operations:
    - Describe
    - Read
  - type: topic
    name: orders
    operations:
    - Describe
    - Read
    - Write
  - type: topic
    name: orders.dlq
    operations:
    - Describe
    - Write
  - type: group
    name: matching
    operations:
    - Read
  group: matching
  stores:
  - postgres
  - valkey
  marketGroupVariable: TICKPLANE_MARKET_GROUP
operator:
  apiServer: true
  feeds: true
migrate:
  acls:
  - type: topic
    name: book
    operations:
    - Create
    - Describe
  - type: topic
    name: candles
    operations:
    - Create
    - Describe
  - type: topic
    name: executions
    operations:
    - Create
    - Describe
  - type: topic
    name: feed_state
    operations:
    - Create
    - Describe
    - Read
    - Write
  - type: topic
    name: indicators
    operations:
    - Create
    - Describe
  - type: topic
    name: market_trades
    operations:
    - Create
    - Describe
  - type: topic
    name: market_trades.dlq
    operations:
    - Create
    - Describe
  - type: topic
    name: orders
    operations:
    - Create
    - Describe
  - type: topic
    name: orders.dlq
    operations:
    - Create
    - Describe
  - type: topic
    name: raw_frames
    operations:
    - Create
    - Describe
  - type: topic
    name: raw_ticks
    operations:
    - Create
    - Describe
  - type: topic
    name: raw_ticks.dlq
    operations:
    - Create
    - Describe
  - type: topic
    name: validated_trades
    operations:
    - Create
    - Describe
  stores:
  - postgres
{{- end }}

{{/* The facts of one service: (dict "name" "recorder"). */}}
{{- define "service.fact" -}}
{{- $fact := index (include "service.facts" . | fromYaml) .name -}}
{{- $fact | required (printf "%s is not a service of Tickplane" .name) | toYaml -}}
{{- end }}
