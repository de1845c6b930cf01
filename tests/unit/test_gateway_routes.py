"""What a path means to the gateway."""

from http import HTTPStatus

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.fanout import start_offsets
from services.gateway.hub import Channel, Product
from services.gateway.routes import Answer, Follow, plain_route, socket_route


@pytest.mark.parametrize(
    ("target", "follow"),
    [
        (b"/crypto/BTC-USD", Follow(Channel.CRYPTO, Product("coinbase", "BTC-USD"))),
        (b"/crypto/BTC-USD?exchange=kraken", Follow(Channel.CRYPTO, Product("kraken", "BTC-USD"))),
        (b"/indicators/BTC-USD?x=1&exchange=demo", Follow(Channel.INDICATORS, Product("demo", "BTC-USD"))),
        (b"/crypto/%2A", Follow(Channel.CRYPTO, Product("coinbase", "*"))),
        (b"/crypto/BTC%2FUSD", Follow(Channel.CRYPTO, Product("coinbase", "BTC/USD"))),
        (b"/crypto/%00", Follow(Channel.CRYPTO, Product("coinbase", "\0"))),
    ],
)
def test_a_socket_path_names_a_channel_and_a_product(target: bytes, follow: Follow) -> None:
    assert socket_route(target) == follow


@pytest.mark.parametrize("target", [b"/", b"/crypto", b"/crypto/", b"/crypto/a/b", b"/nothing/BTC-USD", b"*", b""])
def test_other_socket_paths_are_not_there(target: bytes) -> None:
    answer = socket_route(target)
    assert isinstance(answer, Answer)
    assert answer.status == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/", 200),
        (b"/health", 200),
        (b"/crypto/BTC-USD", 426),
        (b"/indicators/x", 426),
        (b"/metrics", 404),
        (b"/ready", 404),
        (b"http://[", 404),
    ],
)
def test_plain_requests(target: bytes, status: int) -> None:
    assert plain_route(target).status == status


@given(st.binary(max_size=200))
def test_no_target_raises(target: bytes) -> None:
    socket_route(target)
    plain_route(target)


def test_a_gateway_begins_a_window_before_the_end_and_reads_feed_state_whole() -> None:
    trades, states = TopicPartition("market_trades", 1), TopicPartition("feed_state", 1)
    young = TopicPartition("indicators", 0)
    spans = {trades: (5, 1_000), states: (3, 1_000), young: (7, 20)}
    assert start_offsets(spans, 100) == {trades: 900, states: 3, young: 7}
