"""The few shapes of PromQL that the boards are written in. Dashboards' variables are in every selector."""

HERE = '{namespace=~"$namespace"}'
EXCHANGE = '{namespace=~"$namespace", exchange=~"$exchange"}'
PRODUCT = '{namespace=~"$namespace", exchange=~"$exchange", product_id=~"$product"}'

REPLICA = "pod, instance"
"""What tells the processes of a job apart: on a cluster pods do, elsewhere instances."""
PROCESS = f"job, {REPLICA}"

REQUESTS = 'route!~"/health|/ready"'
"""Requests of people: machines ask for these two, and ``/ready`` answers 503 to say how a dependency is."""
QUERIES = 'route!~"/health|/ready|/v1/trades"'
"""Requests whose time is ours: a range of ``/v1/trades`` is streamed for as long as its client reads."""


def also(selector: str, *matchers: str) -> str:
    """A selector that takes less."""
    return f"{selector[:-1]}, {', '.join(matchers)}}}"


def running(service: str) -> str:
    """Series that are there as long as a service of ours is."""
    return f"event_loop_lag_seconds{also(HERE, f'service="{service}"')}"


def rate(metric: str, selector: str = HERE, by: str = "") -> str:
    """What a counter adds in a second."""
    return f"{_sum(by)} (rate({metric}{selector}[$__rate_interval]))"


def per_minute(metric: str, selector: str = HERE, by: str = "") -> str:
    """What a counter of rare events adds in a minute: in a second it would be a small fraction."""
    return f"60 * {rate(metric, selector, by)}"


def mean(metric: str, selector: str = HERE, by: str = "") -> str:
    """The mean of what a histogram observed."""
    return f"{rate(f'{metric}_sum', selector, by)} / {rate(f'{metric}_count', selector, by)}"


def quantile(share: float, metric: str, selector: str = HERE, by: str = "") -> str:
    """The value that ``share`` of a histogram's observations are not above."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', selector, labels)})"


def within(bound: str, metric: str, selector: str, by: str = "") -> str:
    """The share of a histogram's observations that are not above one of its bounds, written as ``le`` writes it."""
    inside = also(selector, f'le="{bound}"')
    return f"{rate(f'{metric}_bucket', inside, by)} / {rate(f'{metric}_count', selector, by)}"


def or_zero(expression: str, present: str, on: str = "") -> str:
    """0 where there is nothing to count yet, though who counts is ``present``: most metrics begin with their first
    event, and a board has to tell "never happened" from "nobody looks"."""
    grouped = f"group by ({on})" if on else "group"
    return f"{expression} or on ({on}) 0 * {grouped} ({present})"


def events(metric: str, selector: str, by: str, present: str, on: str = "") -> str:
    """What a counter of rare events adds in a minute, 0 before the first."""
    return or_zero(per_minute(metric, selector, by), present, on)


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"
