"""Apache Kafka on this machine: its jars by the lock beside this file, and the Java that runs them."""
