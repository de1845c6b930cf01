"""The standard services of every gRPC server: health (https://grpc.io/docs/guides/health-checking/) and reflection
(https://grpc.io/docs/guides/reflection/), as grpcio's own packages answer them."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1.health import OVERALL_HEALTH, HealthServicer
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as REFLECTION_ALPHA
from grpc_reflection.v1alpha.reflection import ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from services.adapters.grpc_server import Call, Method
from services.runtime.health import Health
from services.runtime.periodic import Periodic

REFLECTION = "grpc.reflection.v1.ServerReflection"
"""The same messages as v1alpha's, which grpcio has: https://github.com/grpc/grpc-proto/tree/master/grpc/reflection"""
LOOK_INTERVAL_S = 0.5
"""How soon a change of readiness is told to those who watch."""


class StandardServices(Periodic):
    """``methods`` for a ``GrpcServer``. The named services, and the server as a whole, are serving while ready."""

    def __init__(self, services: Sequence[str], health: Health) -> None:
        super().__init__(LOOK_INTERVAL_S, self._look)
        self._health = health
        self._watched = (OVERALL_HEALTH, *services)
        self._servicer: Any = HealthServicer()
        self._reflection: Any = ReflectionServicer([*services, HEALTH, REFLECTION, REFLECTION_ALPHA])
        self._said: bool | None = None

    @property
    def methods(self) -> Mapping[str, Method]:
        return {
            f"/{HEALTH}/Check": self._check,
            f"/{HEALTH}/Watch": self._watch,
            f"/{REFLECTION}/ServerReflectionInfo": self._reflect,
            f"/{REFLECTION_ALPHA}/ServerReflectionInfo": self._reflect,
        }

    async def _look(self) -> None:
        self._say()

    def _say(self) -> None:
        ready = self._health.ready_self()
        if ready == self._said:
            return
        self._said = ready
        for service in self._watched:
            status = HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING
            self._servicer.set(service, status)

    def _check(self, call: Call, message: bytes) -> None:
        self._say()
        context = _Context(call)
        answer = self._servicer.Check(HealthCheckRequest.FromString(message), context)
        if context.code is None:
            call.send(answer.SerializeToString())
        else:
            call.finish(context.code, "there is no such service")

    def _watch(self, call: Call, message: bytes) -> None:
        def tell(response: Message | None) -> None:
            if response is not None:
                call.send(response.SerializeToString())

        self._say()
        call.stays_open = True
        self._servicer.Watch(HealthCheckRequest.FromString(message), _Context(call), tell)

    def _reflect(self, call: Call, message: bytes) -> None:
        for answer in self._reflection.ServerReflectionInfo(iter([ServerReflectionRequest.FromString(message)]), None):
            call.send(answer.SerializeToString())


class _Context:
    """What the health service asks of a servicer's context."""

    def __init__(self, call: Call) -> None:
        self.code: grpc.StatusCode | None = None
        self.add_callback = call.when_ended.append

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code
