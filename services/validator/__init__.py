"""The validator: ticks in, verdicts with a 20-minute VWAP out, over gRPC and Kafka."""
