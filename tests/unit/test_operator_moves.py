"""What a shard's Deployment subscribes to, whatever others made of it."""

from typing import Any

import pytest

from market_operator.desired import desired
from market_operator.moves import products_of
from market_operator.settings import OperatorSettings
from tests.operator.golden import feed


def _deployment() -> dict[str, Any]:
    return desired(feed({"products": ["BTC-USD", "ETH-USD"]}), OperatorSettings(_env_file=None))[-1]


def test_what_the_operator_wrote_is_read_back() -> None:
    assert set(products_of(_deployment())) == {"BTC-USD", "ETH-USD"}


def test_a_container_that_somebody_added_first_is_passed_over() -> None:
    deployment = _deployment()
    deployment["spec"]["template"]["spec"]["containers"].insert(0, {"name": "sidecar"})
    assert set(products_of(deployment)) == {"BTC-USD", "ETH-USD"}


@pytest.mark.parametrize("env", [[], [{"name": "TICKPLANE_PRODUCTS"}], [{"name": "OTHER", "value": "x"}]])
def test_a_variable_that_somebody_took_away_is_no_product(env: list[dict[str, str]]) -> None:
    deployment = _deployment()
    deployment["spec"]["template"]["spec"]["containers"][0]["env"] = env
    assert products_of(deployment) == ()
