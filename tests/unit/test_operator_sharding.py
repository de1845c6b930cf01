"""Products over shards: every one somewhere, and the fewest moved by a change."""

from hypothesis import given
from hypothesis import strategies as st

from market_operator.moves import held
from market_operator.sharding import assign

PRODUCTS = st.sets(st.from_regex(r"[A-Z]{1,5}-USD", fullmatch=True), min_size=1, max_size=40)
SHARDS = st.integers(1, 8)


def _where(assigned: dict[int, tuple[str, ...]]) -> dict[str, int]:
    return {product: shard for shard, products in assigned.items() for product in products}


@given(PRODUCTS, SHARDS)
def test_every_product_has_one_shard(products: set[str], shards: int) -> None:
    assigned = assign(products, shards)
    assert sorted(product for those in assigned.values() for product in those) == sorted(products)
    assert all(assigned.values())


@given(PRODUCTS, SHARDS)
def test_another_shard_only_takes(products: set[str], shards: int) -> None:
    before, after = _where(assign(products, shards)), _where(assign(products, shards + 1))
    assert all(after[product] in (before[product], shards) for product in products)


@given(PRODUCTS, SHARDS, st.just("NEW-EUR"))
def test_another_product_changes_one_shard(products: set[str], shards: int, new: str) -> None:
    before, after = assign(products, shards), assign({*products, new}, shards)
    assert len([shard for shard in range(shards) if before.get(shard) != after.get(shard)]) == 1


def test_the_order_of_the_products_does_not_matter() -> None:
    assert assign(["B-USD", "A-USD"], 3) == assign(["A-USD", "B-USD"], 3)


def test_it_is_the_same_for_ever() -> None:
    assert assign(["BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD"], 3) == {
        0: ("BTC-USD",),
        1: ("ETH-USD",),
        2: ("ADA-USD", "SOL-USD"),
    }


def _named(assigned: dict[int, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {f"shard-{shard}": products for shard, products in assigned.items()}


@given(PRODUCTS, st.lists(SHARDS, min_size=2, max_size=5))
def test_moving_comes_to_an_end_and_drops_nothing(products: set[str], counts: list[int]) -> None:
    """Whatever numbers of shards were asked for meanwhile: in each step some shard may change, and all stream on."""
    live: dict[str, tuple[str, ...]] = {}
    for at, count in enumerate(counts):
        wanted = _named(assign(products, count))
        for _ in range(30):
            settled = {name for name in wanted if live.get(name) == wanted[name]}
            waiting = held(wanted, live, settled)
            live = {
                name: live[name] if name in waiting else wanted[name]
                for name in {*live, *wanted}
                if name in waiting or name in wanted
            }
            assert {product for those in live.values() for product in those} == products
            if at < len(counts) - 1:
                break
    assert live == _named(assign(products, counts[-1]))


def test_control_without_waiting_a_product_is_dropped() -> None:
    live, wanted = {"a": ["X-USD", "Y-USD"]}, {"a": ["X-USD"], "b": ["Y-USD"]}
    assert held(wanted, live, settled=()) == {"a"}
    assert held(wanted, {**live, "b": ["Y-USD"]}, settled={"b"}) == set()
