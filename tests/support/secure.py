"""What a cluster's stores ask for and the embedded ones do not: TLS, passwords, access control.

``tls/server.pem`` is a certificate for localhost, with its key, that ``tls/ca.pem`` signed; ``tls/elsewhere.pem`` is
one for another name. Like Strimzi's they have no authority key identifier. Nobody has the authorities' keys any more;
all are good until 2126. ``tls/client.pem`` is a client's own, with its key, signed by itself.
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from services.contracts.access import Acl, Operation
from services.local.parts import Kafka
from services.local.ports import LOOPBACK, free_port
from tests.support.balancer import pump

TLS = Path(__file__).parent / "tls"
CA, OTHER_CA = TLS / "ca.pem", TLS / "other-ca.pem"
SERVER, ELSEWHERE, CLIENT = TLS / "server.pem", TLS / "elsewhere.pem", TLS / "client.pem"

MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256")
RESOURCES = {"topic": 2, "group": 3}
OPERATIONS: Mapping[Operation, int] = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
"""https://github.com/apache/kafka/tree/trunk/clients/src/main/java/org/apache/kafka/common (acl, resource)"""
LITERAL, ALLOW = 3, 3


def password_of(user: str) -> str:
    return f"the password of {user}"


class SecureKafka(Kafka):
    """One more listener, SASL_SSL, on which nobody may do anything that is not allowed. On the plain one, which is the
    test's own, everything is."""

    def __init__(self, folder: Path, users: Iterable[str]) -> None:
        super().__init__(folder, free_port(), free_port())
        self.secure_url = f"localhost:{free_port()}"
        self._users = list(users)

    def client(self, user: str, **changed: object) -> dict[str, Any]:
        """The variables of a service that connects as this user."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.secure_url,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": password_of(user),
            "KAFKA_CA_FILE": CA,
            **changed,
        }

    async def allow(self, user: str, acls: Iterable[Acl]) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.url)
        await admin.start()
        try:
            for acl in acls:
                for operation in acl.operations:
                    request = CreateAclsRequest(
                        *(RESOURCES[acl.resource], acl.name, LITERAL, f"User:{user}", "*"),
                        *(OPERATIONS[operation], ALLOW),
                    )
                    ((code, message),) = (await admin._send_to_controller(request)).creation_responses
                    assert code == 0, message
        finally:
            await admin.close()

    async def _run_once(self, *command: str | Path, user: str = "-") -> None:
        """The one tool that is run formats the storage, and knows the users from then on."""
        scram = [
            f"--add-scram={mechanism}=[name={name},password={password_of(name)}]"
            for name in self._users
            for mechanism in MECHANISMS
        ]
        await super()._run_once(*command, *scram, user=user)

    def _properties(self) -> str:
        plain = f"PLAINTEXT://{self.url}"
        secure = f"SASL_SSL://{self.secure_url}"
        listener = "listener.name.sasl_ssl"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        more = [
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            f"sasl.enabled.mechanisms={','.join(MECHANISMS)},PLAIN",
            *(f"{listener}.{mechanism.lower()}.sasl.jaas.config={scram}" for mechanism in MECHANISMS),
            f"{listener}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
            + " ".join(f'user_{name}="{password_of(name)}"' for name in self._users)
            + ";",
            f"{listener}.ssl.keystore.type=PEM",
            f"{listener}.ssl.keystore.location={SERVER}",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
        ]
        return super()._properties().replace(plain, f"{plain},{secure}") + "\n".join([*more, ""])


@asynccontextmanager
async def postgres_with_tls(port: int, certificate: Path = SERVER) -> AsyncIterator[int]:
    """A port that speaks TLS, as a Postgres with a certificate does, for the plain one that listens on ``port``.

    The embedded one is built without TLS. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = struct.unpack("!II", await reader.readexactly(8))
            assert asked == (8, 80877103), "only who asks for TLS is let in"
            writer.write(b"S")
            await writer.start_tls(context)
            behind = await asyncio.open_connection(LOOPBACK, port)
            await asyncio.gather(pump(reader, behind[1]), pump(behind[0], writer))
        except (OSError, asyncio.IncompleteReadError, AssertionError):
            writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
