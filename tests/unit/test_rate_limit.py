"""Who is counted, and how one replica counts alone."""

import pytest

from services.adapters.rate_limit import WINDOW_S, LocalWindows, client_of


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not an address", "unknown"),
        ("1.2.3.4, 5.6.7.8", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_64(address: str, client: str) -> None:
    assert client_of(address) == client


def test_a_window_begins_with_the_first_request_and_ends_after_a_minute() -> None:
    windows = LocalWindows(10)
    assert windows.count("a", 100.0) == (1, WINDOW_S)
    assert windows.count("a", 130.0) == (2, WINDOW_S - 30)
    assert windows.count("b", 130.0) == (1, WINDOW_S)
    assert windows.count("a", 160.0) == (1, WINDOW_S)


def test_clients_beyond_the_limit_push_out_the_first() -> None:
    windows = LocalWindows(2)
    for client in ("a", "b", "c"):
        windows.count(client, 0.0)
    assert windows.count("b", 1.0)[0] == 2
    assert windows.count("a", 1.0)[0] == 1
