"""Who a client is, as far as its address tells, and how many connections each has. Pure."""

import ipaddress
from collections import Counter

from services.adapters.rate_limit import client_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Addresses:
    """Only the edge is believed about ``X-Forwarded-For``: the client is the last one there that is not the edge
    itself, or the peer, as uvicorn has it for the api."""

    def __init__(self, trusted_proxies: str, connections_max: int) -> None:
        parts = (part.strip() for part in trusted_proxies.split(","))
        self._trusted: tuple[Network, ...] = tuple(ipaddress.ip_network(part) for part in parts if part)
        self._connections_max = connections_max
        self._connections: Counter[str] = Counter()

    def client(self, peer: str, forwarded_for: str | None) -> str:
        """Who is counted: an IPv4 address, an IPv6 /64, or ``unknown``."""
        address = peer
        if forwarded_for and self._is_trusted(peer):
            hops = [hop.strip() for hop in forwarded_for.split(",")]
            address = next((hop for hop in reversed(hops) if not self._is_trusted(hop)), hops[0])
        return client_of(address)

    def enter(self, client: str) -> bool:
        """Count one connection more. Whether the client may have it."""
        self._connections[client] += 1
        return self._connections[client] <= self._connections_max

    def leave(self, client: str) -> None:
        self._connections[client] -= 1
        if not self._connections[client]:
            del self._connections[client]

    def _is_trusted(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(ip in network for network in self._trusted)
