"""Kafka, Postgres and Valkey on this machine, where the cluster's pods reach them: what the chart calls external."""

import os
import socket
from pathlib import Path

from services.local.parts import Kafka, Postgres, Valkey
from services.local.ports import LOOPBACK, free_port
from tests.support.parts import Parts


class NodeKafka(Kafka):
    """With one more listener. Who comes by it is sent on by it."""

    def __init__(self, folder: Path, host: str) -> None:
        super().__init__(folder, free_port(), free_port())
        self.node_url = f"{host}:{free_port(host)}"

    def _properties(self) -> str:
        listeners = f"PLAINTEXT://{self.url},CONTROLLER://{LOOPBACK}:{self.controller_port},NODE://{self.node_url}"
        more = (
            f"listeners={listeners}",
            f"advertised.listeners=PLAINTEXT://{self.url},NODE://{self.node_url}",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,NODE:PLAINTEXT",
        )
        return "\n".join([super()._properties(), *more, ""])


class NodePostgres(Postgres):
    def __init__(self, folder: Path, host: str) -> None:
        super().__init__(folder, free_port(), settings={"fsync": "off", "listen_addresses": f"{LOOPBACK},{host}"})

    async def _init(self) -> None:
        await super()._init()
        with (self._data / "pg_hba.conf").open("a") as file:
            file.write("host all all all scram-sha-256\n")


def in_folder(folder: Path, host: str) -> Parts:
    return Parts(
        NodeKafka(folder / "kafka", host),
        NodePostgres(folder / "postgres", host),
        Valkey(folder / "valkey", free_port(), options=("--bind", LOOPBACK, host, "--protected-mode", "no")),
    )


def this_machine(node_address: str) -> str | None:
    """This machine's address as pods see it: TICKPLANE_E2E_HOST, or the node's own where the node is this machine."""
    address = os.environ.get("TICKPLANE_E2E_HOST", node_address)
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return None
    return address
