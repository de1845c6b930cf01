"""What everything stands on: Postgres, Redis, Kafka, certificates, and the processes themselves."""

from monitoring.boards.board import Board, Variable, row
from monitoring.boards.panels import Query, Unit, lines, over, timeline, under
from monitoring.boards.promql import HERE, PROCESS, rate

PROCESS_LEGEND = "{{job}} {{pod}} {{instance}}"

REACHED = row(
    "Reached",
    timeline(
        "As each service sees it",
        "Whether what a service needs answers it. Of several replicas the worst counts.",
        Query(
            f"min by (service, dependency) (min_over_time(dependency_up{HERE}[$__rate_interval]))",
            "{{service}} {{dependency}}",
        ),
        alerts=("PostgresUnreachable", "KafkaUnreachable", "RedisUnreachable", "DependencyUnreachable"),
    ),
    timeline(
        "As the API's probe sees it",
        "Whether a small question to each store is answered.",
        Query(f"min by (dependency) (min_over_time(probe_up{HERE}[$__rate_interval]))", "{{dependency}}"),
        alerts=("DependencyDown",),
    ),
    lines(
        "Time to answer",
        "How long the last answer to the API's probe took.",
        Unit.SECONDS,
        Query(f"max by (dependency) (probe_duration_seconds{HERE})", "{{dependency}}"),
    ),
    timeline(
        "Topics",
        "A topic is healthy while it is there and each of its partitions has a leader.",
        Query(f"min by (topic) (min_over_time(kafka_topic_healthy{HERE}[$__rate_interval]))", "{{topic}}"),
        states={0: ("broken", "red"), 1: ("healthy", "green")},
        width=16,
        alerts=("KafkaTopicUnhealthy",),
    ),
)

STORES = row(
    "Stores",
    lines(
        "Postgres: size",
        "The database's size on disk, and the limit that a setting of the API says, where it does.",
        Unit.BYTES,
        Query(f"max(postgres_database_size_bytes{HERE})", "size"),
        Query(f"max(postgres_database_size_limit_bytes{HERE})", "limit"),
        alerts=("PostgresSizeNearLimit",),
    ),
    lines(
        "Postgres: connections",
        "Clients of the database, and how many there may be.",
        Unit.COUNT,
        Query(f"max(postgres_connections{HERE})", "connections"),
        Query(f"max(postgres_connections_max{HERE})", "at most"),
        alerts=("PostgresConnectionsHigh",),
    ),
    lines(
        "Redis: memory",
        "What Redis holds, and what it may, where it has a limit.",
        Unit.BYTES,
        Query(f"max(redis_memory_used_bytes{HERE})", "used"),
        Query(f"max(redis_memory_max_bytes{HERE})", "limit"),
        alerts=("RedisMemoryHigh",),
    ),
)

PROCESSES = row(
    "Processes",
    lines(
        "Memory",
        "Resident memory, as a share of the limit where there is one.",
        Unit.SHARE,
        Query(
            f"max by ({PROCESS}) (process_resident_memory_bytes{HERE})"
            f" / max by ({PROCESS}) (memory_limit_bytes{HERE} > 0)",
            PROCESS_LEGEND,
        ),
        width=12,
        steps=over(orange=0.8, red=0.9),
        alerts=("MemoryNearLimit",),
    ),
    lines(
        "Resident memory",
        "Memory of the ten largest processes.",
        Unit.BYTES,
        Query(f"topk(10, max by ({PROCESS}) (process_resident_memory_bytes{HERE}))", PROCESS_LEGEND),
        width=12,
        alerts=("MemoryNearLimit",),
    ),
    lines(
        "Event loop",
        "How late a timer fired, at worst, of the ten latest processes.",
        Unit.SECONDS,
        Query(f"topk(10, max by ({PROCESS}) (event_loop_lag_seconds{HERE}))", PROCESS_LEGEND),
        width=12,
        steps=over(red=0.5),
        alerts=("EventLoopLagHigh",),
    ),
    lines(
        "Processor",
        "Processor time used, of the ten busiest processes. One process uses one core at most.",
        Unit.CORES,
        Query(f"topk(10, {rate('process_cpu_seconds_total', HERE, PROCESS)})", PROCESS_LEGEND),
        width=12,
        steps=over(orange=0.8, red=0.95),
    ),
    lines(
        "Open files",
        "Files and sockets that are open, as a share of the limit.",
        Unit.SHARE,
        Query(
            f"topk(10, max by ({PROCESS}) (process_open_fds{HERE}) / max by ({PROCESS}) (process_max_fds{HERE}))",
            PROCESS_LEGEND,
        ),
        steps=over(orange=0.7, red=0.9),
    ),
    lines(
        "Restarts",
        "Times that processes began anew, by job.",
        Unit.COUNT,
        Query(f"sum by (job) (changes(process_start_time_seconds{HERE}[$__rate_interval]))", "{{job}}"),
        alerts=("ServiceCrashLooping",),
    ),
    lines(
        "Certificates",
        "Until the first certificate of each file expires, by the setting that names the file.",
        Unit.DAYS,
        Query(
            f"(min by (service, certificate) (tls_certificate_expiry_time_seconds{HERE}) - time()) / 86400",
            "{{service}} {{certificate}}",
        ),
        steps=under(red=3, orange=14),
        from_zero=False,
        alerts=("CertificateExpiresSoon",),
    ),
)

SCRAPES = row(
    "Prometheus",
    timeline(
        "Targets",
        "Whether Prometheus can read every process of a job. Of several the worst counts.",
        Query(f"min by (job) (min_over_time(up{HERE}[$__rate_interval]))", "{{job}}"),
        alerts=("ApiDown", "ServiceDown", "ReplicaDown"),
    ),
    lines(
        "Samples",
        "Samples in one read of each job: what its metrics cost.",
        Unit.COUNT,
        Query(f"sum by (job) (scrape_samples_scraped{HERE})", "{{job}}"),
        width=12,
    ),
)

BOARD = Board(
    "dependencies",
    "Dependencies",
    "What everything stands on: Postgres, Redis, Kafka, certificates, and the processes themselves.",
    (Variable.NAMESPACE,),
    (REACHED, STORES, PROCESSES, SCRAPES),
)
