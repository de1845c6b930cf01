"""The MarketFeed: the types of its spec and status, and what a spec means to a feed's environment.

The CustomResourceDefinition and ``docs/marketfeed.md`` are made from these types (``market_operator.generate``): each
field says what it is and has a bound, and what spans fields is a CEL rule with a message for people.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

GROUP = "tickplane.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "MarketFeed"
PLURAL = "marketfeeds"

NAME_MAX = 45
"""Characters of a MarketFeed's name: its children's names begin with it, and labels have 63 at most."""
PRODUCTS_MAX = 500
SHARDS_MAX = 50
FAILING_PRODUCTS_MAX = 20

PRODUCTS_VARIABLE = "TICKPLANE_PRODUCTS"

UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

Label = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$", max_length=63)]
Product = Annotated[str, Meta(pattern=r"^[A-Z0-9]+-[A-Z0-9]+$", max_length=32)]
Duration = Annotated[str, Meta(pattern=r"^([0-9]{1,8}s|[0-9]{1,6}m|[0-9]{1,4}h|[0-9]{1,3}d)$", max_length=9)]
Quantity = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$", max_length=20)] | int
ObjectName = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", min_length=1, max_length=253)]
LabelKey = Annotated[str, Meta(min_length=1, max_length=317)]
LabelValue = Annotated[str, Meta(max_length=63)]
Text = Annotated[str, Meta(max_length=1024)]
Time = Annotated[str, Meta(max_length=40, extra_json_schema={"format": "date-time"})]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]


def said(description: str, *rules: tuple[str, str], **schema: Any) -> Meta:
    """A field's description, with CEL rules as (rule, message) pairs and other keywords of Kubernetes' schemas."""
    extra = {f"x-kubernetes-{name.replace('_', '-')}": value for name, value in schema.items()}
    if rules:
        extra["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
    return Meta(description=description, extra_json_schema=extra or None)


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """Every object below: camel case on the wire, and no field that does not exist."""

    RULES: ClassVar[tuple[tuple[str, str], ...]] = ()
    """CEL rules that span its fields, as (rule, message) pairs."""


class GapRepair(Part, frozen=True):
    """How holes in the trade numbers are filled from the exchange's REST history."""

    enabled: Annotated[bool, said("Whether gaps are fetched. Off, they stay open and visible.")] = True
    max_age: Annotated[
        Duration | None,
        said("Gaps older than this are not fetched: a number and s, m, h or d. The feed's default: 24h."),
    ] = None
    max_trades: Annotated[
        Annotated[int, Meta(ge=0, le=100_000_000)] | None,
        said("Trades fetched at most per gap. The feed's default: 100000."),
    ] = None


class Backfill(Part, frozen=True):
    """History to fetch on purpose."""

    since: Annotated[
        Time | None, said("Fetch what happened between then and the first trade seen. Left out, nothing is fetched.")
    ] = None


class Reference(Part, frozen=True):
    """An object of the same namespace."""

    name: Annotated[ObjectName, said("Its name.")]


class Kafka(Part, frozen=True):
    """A Kafka other than the operator's default. With `bootstrapServers`, nothing of the default is used."""

    bootstrap_servers: Annotated[
        Annotated[str, Meta(min_length=3, max_length=1024, pattern=r"^[^:, ]+:[0-9]+(,[^:, ]+:[0-9]+)*$")] | None,
        said("Where it is: `host:port`, comma-separated."),
    ] = None
    secret_ref: Annotated[
        Reference | None,
        said("A Secret with the keys `username` and `password`, and `sasl.mechanism` where it is not SCRAM-SHA-512."),
    ] = None
    ca_secret_ref: Annotated[Reference | None, said("A Secret with the key `ca.crt`, which signs the brokers.")] = None


class Amounts(Part, frozen=True):
    """Amounts of what a container uses."""

    cpu: Annotated[Quantity | None, said("Cores: `500m`, `2`.")] = None
    memory: Annotated[Quantity | None, said("Memory: `256Mi`.")] = None
    ephemeral_storage: Annotated[Quantity | None, said("Local disk: `64Mi`.")] = msgspec.field(
        default=None, name="ephemeral-storage"
    )


class Resources(Part, frozen=True):
    """What each shard's container asks for and may use. What is left out keeps the operator's default."""

    requests: Annotated[Amounts, said("What is set aside for it.")] = Amounts()
    limits: Annotated[Amounts, said("What it may use at most.")] = Amounts()


class Toleration(Part, frozen=True):
    """A taint of a node that the pods accept."""

    key: Annotated[LabelKey | None, said("The taint's key; with `Exists` and no key, every taint.")] = None
    operator: Annotated[Literal["Exists", "Equal"], said("How `value` is compared.")] = "Equal"
    value: Annotated[LabelValue | None, said("The taint's value.")] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None,
        said("The taint's effect; every one where left out."),
    ] = None
    toleration_seconds: Annotated[
        Annotated[int, Meta(ge=0, le=31_536_000)] | None,
        said("How long a NoExecute taint is accepted; for ever where left out."),
    ] = None


class Expression(Part, frozen=True):
    """What a node's label must be."""

    key: Annotated[LabelKey, said("The label.")]
    operator: Annotated[Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"], said("How it is compared.")]
    values: Annotated[tuple[LabelValue, ...], Meta(max_length=50), said("What with.", list_type="atomic")] = ()


class NodeTerm(Part, frozen=True):
    """Nodes: every expression must hold."""

    match_expressions: Annotated[
        tuple[Expression, ...], Meta(min_length=1, max_length=20), said("The expressions.", list_type="atomic")
    ]


class PreferredNodes(Part, frozen=True):
    """Nodes that are preferred."""

    weight: Annotated[int, Meta(ge=1, le=100), said("How much.")]
    preference: Annotated[NodeTerm, said("Which nodes.")]


class RequiredNodes(Part, frozen=True):
    """Nodes that will do: one of the terms must hold."""

    node_selector_terms: Annotated[
        tuple[NodeTerm, ...], Meta(min_length=1, max_length=20), said("The terms.", list_type="atomic")
    ]


class NodeAffinity(Part, frozen=True):
    """Which nodes the pods may or would rather run on."""

    required_during_scheduling_ignored_during_execution: Annotated[
        RequiredNodes | None, said("Nodes that will do.")
    ] = None
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodes, ...], Meta(max_length=20), said("Nodes that are preferred.", list_type="atomic")
    ] = ()


class Affinity(Part, frozen=True):
    """Where the pods run. Shards are spread over nodes without being told."""

    node_affinity: Annotated[NodeAffinity | None, said("By labels of nodes.")] = None


class MarketFeedSpec(Part, frozen=True):
    """What is wanted."""

    RULES = (
        (
            "self.shards <= size(self.products)",
            "shards must not be more than products: a shard without one has nothing to do",
        ),
    )

    venue: Annotated[
        Label,
        said(
            "Whose protocol to speak: a name under the entry point `tickplane.venues`, such as coinbase.",
            ("self == oldSelf", "venue is immutable: delete this MarketFeed and make another"),
        ),
    ]
    products: Annotated[
        tuple[Product, ...],
        Meta(min_length=1, max_length=PRODUCTS_MAX),
        said("What to subscribe to, as `BASE-QUOTE`; each once.", list_type="set"),
    ]
    exchange: Annotated[Label | None, said("The label of the trades in the data; the venue's own where left out.")] = (
        None
    )
    shards: Annotated[
        int, Meta(ge=1, le=SHARDS_MAX), said("Pods that share the products. Another number moves as few as can be.")
    ] = 1
    endpoint: Annotated[
        Annotated[str, Meta(pattern=r"^wss?://[^ @]+$", max_length=512)] | None,
        said("The WebSocket URL; the venue's own where left out. Its host over http is asked for the history."),
    ] = None
    gap_repair: Annotated[GapRepair, said("How holes in the trade numbers are filled.")] = GapRepair()
    backfill: Annotated[Backfill, said("History to fetch on purpose.")] = Backfill()
    settings: Annotated[
        dict[LabelKey, Annotated[str, Meta(max_length=256)]],
        Meta(max_length=32),
        said(
            "The venue's own settings.",
            ("self.all(name, name.matches('^[a-z][a-z0-9_]{0,62}$'))", "a setting's name is lower case, such as depth"),
        ),
    ] = {}
    paused: Annotated[bool, said("Run no pods. What is missed meanwhile is a gap, repaired on resuming.")] = False
    kafka: Annotated[Kafka, said("Where trades are published. Left out, the operator's default.")] = Kafka()
    image: Annotated[
        Annotated[str, Meta(pattern=r"^[^ ]+$", max_length=512)] | None,
        said(
            "The feed's image; the operator's default where left out. One with an adapter of your own is built on it."
        ),
    ] = None
    image_pull_secrets: Annotated[
        tuple[Reference, ...],
        Meta(max_length=10),
        said(
            "Secrets to pull the image with; the operator's default where left out.",
            list_type="map",
            list_map_keys=["name"],
        ),
    ] = ()
    resources: Annotated[Resources, said("What each shard's container asks for and may use.")] = Resources()
    node_selector: Annotated[
        dict[LabelKey, LabelValue], Meta(max_length=32), said("Labels that a node must have.")
    ] = {}
    tolerations: Annotated[
        tuple[Toleration, ...], Meta(max_length=32), said("Taints of nodes that the pods accept.", list_type="atomic")
    ] = ()
    affinity: Annotated[Affinity, said("Which nodes the pods may or would rather run on.")] = Affinity()
    priority_class_name: Annotated[ObjectName | None, said("The pods' PriorityClass.")] = None
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None, said("What the pods log; `INFO` where left out.")
    ] = None


class Condition(Part, frozen=True):
    """One condition, by Kubernetes' API conventions."""

    type: Annotated[str, Meta(max_length=63), said("`Ready`, `Progressing`, `Degraded` or `Paused`.")]
    status: Annotated[Literal["True", "False", "Unknown"], said("Whether it holds.")]
    reason: Annotated[str, Meta(max_length=63), said("Why, as one word.")]
    message: Annotated[Text, said("Why, for people.")]
    last_transition_time: Annotated[Time, said("When `status` changed last.")]
    observed_generation: Annotated[Count, said("The generation of the spec that it speaks of.")] = 0


class FailingProduct(Part, frozen=True):
    """A product whose trades do not come."""

    name: Annotated[Product, said("The product.")]
    reason: Annotated[str, Meta(max_length=63), said("Why, as one word: `Rejected` or `Conflict`.")]
    message: Annotated[Annotated[str, Meta(max_length=256)], said("Why, in the exchange's words where it has any.")] = (
        ""
    )


class MarketFeedStatus(Part, frozen=True):
    """What was observed. What always moves is in metrics: `lastTradeTime` and `openGaps` follow every 5 minutes."""

    observed_generation: Annotated[Count, said("The generation of the spec that was acted on last.")] = 0
    conditions: Annotated[
        tuple[Condition, ...],
        Meta(max_length=8),
        said("`Ready`, `Progressing`, `Degraded`, `Paused`.", list_type="map", list_map_keys=["type"]),
    ] = ()
    exchange: Annotated[str, Meta(max_length=63), said("The label of the trades in the data.")] = ""
    products: Annotated[Count, said("Products asked for.")] = 0
    shards: Annotated[Count, said("Shards asked for; 0 while paused.")] = 0
    ready_shards: Annotated[Count, said("Shards that have streamed; one to which no product falls counts too.")] = 0
    connected_products: Annotated[Count, said("Products whose subscription the exchange acknowledged.")] = 0
    failing_products: Annotated[
        tuple[FailingProduct, ...],
        Meta(max_length=FAILING_PRODUCTS_MAX),
        said(
            f"Up to {FAILING_PRODUCTS_MAX} products whose trades do not come.", list_type="map", list_map_keys=["name"]
        ),
    ] = ()
    last_trade_time: Annotated[Time | None, said("The exchange's time of the newest trade.")] = None
    open_gaps: Annotated[Count, said("Gaps that are not closed.")] = 0
    selector: Annotated[str, Meta(max_length=256), said("The labels of its pods, for the scale subresource.")] = ""


class MarketFeed(msgspec.Struct, frozen=True, rename="camel"):
    """One exchange's products, streamed to Kafka by the pods that the operator makes."""

    RULES: ClassVar = (
        (
            f"self.metadata.name.size() <= {NAME_MAX}",
            f"the name must not have more than {NAME_MAX} characters: its pods' names begin with it",
        ),
    )

    api_version: Literal["tickplane.io/v1alpha1"]
    kind: Literal["MarketFeed"]
    spec: MarketFeedSpec
    metadata: dict[str, Any] = {}
    status: MarketFeedStatus = MarketFeedStatus()


def environment(spec: MarketFeedSpec, products: Sequence[str]) -> dict[str, str]:
    """The variables of a ``feed`` process for some of its products. What is left out is left to the feed's defaults."""
    repair = spec.gap_repair
    given: dict[str, object | None] = {
        "VENUE": spec.venue,
        "EXCHANGE": spec.exchange,
        "ENDPOINT": spec.endpoint,
        "GAP_REPAIR_ENABLED": str(repair.enabled).lower(),
        "GAP_REPAIR_MAX_AGE_S": None if repair.max_age is None else seconds(repair.max_age),
        "GAP_REPAIR_MAX_TRADES": repair.max_trades,
        "BACKFILL_SINCE": spec.backfill.since,
        "VENUE_SETTINGS": json.dumps(spec.settings, sort_keys=True) if spec.settings else None,
        "LOG_LEVEL": spec.log_level,
    }
    variables = {f"TICKPLANE_{name}": str(value) for name, value in given.items() if value is not None}
    return {**variables, PRODUCTS_VARIABLE: ",".join(products)}


def seconds(duration: str) -> int:
    """``90m`` to 5400."""
    return int(duration[:-1]) * UNIT_S[duration[-1]]
