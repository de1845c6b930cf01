"""The status by Kubernetes' API conventions: what it says, when a condition's time moves, and what is worth a write."""

from typing import Any

import msgspec
import pytest

from market_operator.events import event
from market_operator.feeds import Feed, Key
from market_operator.observing import Answer, Problem, ProductAnswer, Shard
from market_operator.resource import FAILING_PRODUCTS_MAX, MarketFeedStatus
from market_operator.status import SEVERITY, Observed, change, invalid, status, transitions
from tests.operator.golden import feed

Object = dict[str, Any]

THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"
TRADE_TIME = "2026-01-01T00:59:59.5Z"


def _answer(*products: str, gaps: int = 0, **rejected: str) -> Answer:
    good = {
        p: ProductAnswer(True, last_trade_time=TRADE_TIME, open_gaps=(msgspec.Raw(b"{}"),) * gaps) for p in products
    }
    bad = {name.replace("_", "-"): ProductAnswer(False, rejected=why) for name, why in rejected.items()}
    return Answer(connected=True, products={**good, **bad})


def _good(*products: str, **answer: Any) -> Shard:
    return Shard(ready=True, rolling=False, answer=_answer(*products, **answer))


def _of(spec: Object, *shards: Shard, old: Object | None = None, **observed: Any) -> Object:
    told = _feed(spec, old)
    return status(told, Observed("kraken", dict(enumerate(shards)), **observed), NOW)


def _feed(spec: Object, old: Object | None = None) -> Feed:
    made = feed(spec)
    return Feed(made.key, made.uid, made.generation, made.created, made.spec, old or {})


def _said(found: Object) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in found["conditions"]}


TWO: Object = {"products": ["BTC-USD", "ETH-USD"], "shards": 2}


def test_all_is_well() -> None:
    found = _of(TWO, _good("BTC-USD", gaps=2), _good("ETH-USD"))
    assert _said(found) == {
        "Ready": ("True", "Streaming"),
        "Progressing": ("False", "Complete"),
        "Degraded": ("False", "AsWanted"),
        "Paused": ("False", "Running"),
    }
    figures = {name: found[name] for name in ("products", "shards", "readyShards", "connectedProducts", "openGaps")}
    assert figures == {"products": 2, "shards": 2, "readyShards": 2, "connectedProducts": 2, "openGaps": 2}
    assert found["lastTradeTime"] == TRADE_TIME
    assert (
        found["selector"] == "app.kubernetes.io/name=feed,app.kubernetes.io/part-of=tickplane,tickplane.io/feed=kraken"
    )


@pytest.mark.parametrize(
    "found",
    [
        _of(TWO, _good("BTC-USD"), Shard(problems=(Problem("Crashing", "x" * 5_000),))),
        _of({**TWO, "paused": True}, _good("BTC-USD")),
        _of({"products": [f"A{n}-USD" for n in range(30)]}, _good(**{f"A{n}_USD": "no" * 500 for n in range(30)})),
        _of(TWO, conflicts={"BTC-USD": Key("a", "b"), "ETH-USD": Key("a", "b")}),
    ],
)
def test_it_is_as_the_schema_says(found: Object) -> None:
    told = msgspec.convert(found, MarketFeedStatus)
    assert len(told.failing_products) <= FAILING_PRODUCTS_MAX


def test_a_shard_that_no_product_falls_to_is_waited_for_by_nobody() -> None:
    found = _of({**TWO, "shards": 2}, _good("BTC-USD", "ETH-USD"))
    assert (found["shards"], found["readyShards"], _said(found)["Ready"][0]) == (2, 2, "True")


def test_a_shard_on_its_way() -> None:
    found = _of(TWO, _good("BTC-USD"), Shard())
    assert _said(found)["Ready"] == ("False", "ShardsNotReady")
    assert _said(found)["Progressing"] == ("True", "RollingOut")
    assert _said(found)["Degraded"][0] == "False", "on its way is not in trouble"


def test_paused() -> None:
    found = _of({**TWO, "paused": True}, Shard(rolling=False, problems=(Problem("Crashing", "before"),)))
    assert _said(found) == {
        "Ready": ("False", "Paused"),
        "Progressing": ("False", "Complete"),
        "Degraded": ("False", "AsWanted"),
        "Paused": ("True", "Paused"),
    }
    assert (found["shards"], found["readyShards"], found["connectedProducts"]) == (0, 0, 0)


def test_the_cause_comes_before_what_follows_from_it() -> None:
    problems = (Problem("RolloutStuck", "too slow"), Problem("SecretMissing", 'secret "a" not found'))
    found = _of(TWO, Shard(problems=problems), Shard(problems=problems))
    (degraded,) = (each for each in found["conditions"] if each["type"] == "Degraded")
    assert (degraded["reason"], degraded["message"]) == ("SecretMissing", 'secret "a" not found; too slow')


def test_every_reason_is_one_word_and_known_once() -> None:
    assert len(set(SEVERITY)) == len(SEVERITY)
    assert all(reason.isalnum() and reason[0].isupper() for reason in SEVERITY)


def test_products_that_the_exchange_refuses() -> None:
    found = _of(TWO, _good("BTC-USD"), _good(ETH_USD="not a valid product"))
    assert _said(found)["Degraded"] == ("True", "ProductsRejected")
    assert found["failingProducts"] == [{"name": "ETH-USD", "reason": "Rejected", "message": "not a valid product"}]
    assert found["connectedProducts"] == 1


def test_products_that_an_older_feed_has() -> None:
    some = _of(TWO, _good("ETH-USD"), conflicts={"BTC-USD": Key("feeds", "older")})
    assert _said(some)["Degraded"] == ("True", "Conflict")
    assert _said(some)["Ready"][0] == "True"
    every = _of(TWO, conflicts=dict.fromkeys(TWO["products"], Key("feeds", "older")))
    assert _said(every)["Ready"] == ("False", "Conflict")
    assert every["readyShards"] == 0


def test_a_conditions_time_moves_only_with_its_status() -> None:
    old = _of(TWO, _good("BTC-USD"), _good("ETH-USD"))
    for each in old["conditions"]:
        each["lastTransitionTime"] = THEN
    bad = Shard(ready=True, rolling=False, problems=(Problem("Stale", "quiet"),), answer=_answer("ETH-USD"))
    new = _of(TWO, _good("BTC-USD"), bad, old=old)
    times = {each["type"]: each["lastTransitionTime"] for each in new["conditions"]}
    assert times == {"Ready": THEN, "Progressing": THEN, "Degraded": NOW, "Paused": THEN}
    assert [each["type"] for each in transitions(old, new)] == ["Degraded"]


def test_what_is_worth_a_write() -> None:
    old = _of(TWO, _good("BTC-USD"), _good("ETH-USD"))
    assert change(old, _of(TWO, _good("BTC-USD"), _good("ETH-USD"), old=old)) == ""
    assert change(old, _of(TWO, _good("BTC-USD", gaps=1), _good("ETH-USD"), old=old)) == "figures"
    assert change(old, _of(TWO, _good("BTC-USD"), Shard(), old=old)) == "all"
    assert change({}, old) == "all"


def test_before_a_shard_has_answered_its_figures_stay() -> None:
    old = _of(TWO, _good("BTC-USD", gaps=3), _good("ETH-USD"))
    silent = Shard(ready=True, rolling=False)
    assert change(old, _of(TWO, silent, silent, old=old)) == ""


def test_a_spec_of_a_newer_operator_leaves_the_rest_as_it_is() -> None:
    old = _of(TWO, _good("BTC-USD"), _good("ETH-USD"))
    body = {"metadata": {"generation": 7}, "status": old}
    found = invalid(body, "Object contains unknown field `shardz`", NOW)
    assert _said(found) == {**_said(old), "Degraded": ("True", "InvalidSpec")}
    assert found["observedGeneration"] == 7
    assert invalid({**body, "status": found}, "Object contains unknown field `shardz`", THEN) == found


def test_an_event_tells_of_a_condition() -> None:
    condition = {"type": "Degraded", "status": "True", "reason": "Stale", "message": "quiet"}
    told = event(feed({}), condition, NOW)
    assert (told["type"], told["reason"], told["message"]) == ("Warning", "Stale", "Degraded: quiet")
    better = event(feed({}), {**condition, "status": "False", "reason": "AsWanted", "message": ""}, NOW)
    assert (better["type"], better["message"]) == ("Normal", "Not degraded")
