"""Ports for what listens on loopback only."""

import json
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
FIRST, LAST = 15_000, 29_999
"""Below what systems give to outgoing connections (Linux from 32768, macOS from 49152). A client that tries for long to
reach a server which is away is now and then given that server's port, and then talks to itself."""


def free_port(host: str = LOOPBACK) -> int:
    """A port that nobody listens on right now."""
    while not is_free(port := random.randint(FIRST, LAST), host):
        pass
    return port


def is_free(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def listens(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


class Ports:
    """Free ports by name, the same in every run where nobody took them meanwhile."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ports: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}

    def get(self, name: str) -> int:
        port = self._ports.get(name)
        if port is None or not is_free(port):
            port = self._ports[name] = free_port()
            self._file.write_text(json.dumps(self._ports, indent=2))
        return port
