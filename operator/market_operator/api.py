"""The API server, as far as the operator writes to it or lists: every request is counted here."""

from collections.abc import AsyncIterable, Awaitable
from typing import Any

import httpx2
from lightkube import ALL_NS, ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType

from market_operator.connection import lightkube_client
from market_operator.desired import MANAGED, MANAGER
from market_operator.feeds import Key, feed_of
from market_operator.resource import API_VERSION, GROUP, KIND, PLURAL, VERSION
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.runtime.metrics import counter

Object = dict[str, Any]

CONFLICT, FORBIDDEN, NOT_FOUND, UNPROCESSABLE, TOO_MANY = 409, 403, 404, 422, 429
CHUNK = 250
"""Objects in one answer of a listing, so that neither side needs memory for all."""

PLURALS = {
    KIND: (GROUP, VERSION, PLURAL),
    "Deployment": ("apps", "v1", "deployments"),
    "ServiceAccount": ("", "v1", "serviceaccounts"),
    "NetworkPolicy": ("networking.k8s.io", "v1", "networkpolicies"),
    "PodMonitor": ("monitoring.coreos.com", "v1", "podmonitors"),
    "Pod": ("", "v1", "pods"),
    "Event": ("", "v1", "events"),
}
"""Group, version and plural of every kind that the operator speaks of."""
KINDS: dict[str, Any] = {
    kind: create_namespaced_resource(group, version, kind, plural) for kind, (group, version, plural) in PLURALS.items()
}


class RefusedError(Exception):
    """The API server will not have it: ``code`` is the HTTP status, the message is its own."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class FieldConflictError(RefusedError):
    """Other managers hold fields of ours. ``by_apply``: one of them does so by an apply, not by an update."""

    def __init__(self, message: str, by_apply: bool) -> None:
        super().__init__(CONFLICT, message)
        self.by_apply = by_apply


class Api:
    """Raises InfraError where the API server is away or overloaded, RefusedError where it says no."""

    def __init__(self) -> None:
        # lightkube types its own classes; to us objects are plain dicts.
        self._client: Any = lightkube_client(MANAGER)

    async def close(self) -> None:
        await self._client.close()

    async def apply(self, wanted: Object, *, force: bool) -> Object:
        """Server-side apply. Raises FieldConflictError unless ``force`` takes the fields."""
        kind, metadata = wanted["kind"], wanted["metadata"]
        patch = self._client.patch(
            KINDS[kind],
            metadata["name"],
            wanted,
            namespace=metadata["namespace"],
            patch_type=PatchType.APPLY,
            force=force,
        )
        return dict(await self._counted("patch", kind, patch))

    async def write_status(self, key: Key, uid: str, status: Object) -> Object:
        """Replace the status; refused where the object is not the one with this uid any more."""
        metadata = {"name": key.name, "namespace": key.namespace, "uid": uid}
        wanted = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}
        patch = self._client.patch(
            KINDS[KIND].Status, key.name, wanted, namespace=key.namespace, patch_type=PatchType.APPLY, force=True
        )
        return dict(await self._counted("patch", KIND, patch, subresource="status"))

    async def delete(self, kind: str, key: Key) -> None:
        """It is fine where it is gone already."""
        try:
            await self._counted("delete", kind, self._client.delete(KINDS[kind], key.name, namespace=key.namespace))
        except RefusedError as error:
            if error.code != NOT_FOUND:
                raise

    async def record(self, event: Object) -> None:
        """An Event."""
        namespace = event["metadata"]["namespace"]
        await self._counted("create", "Event", self._client.create(KINDS["Event"](event), namespace=namespace))

    async def versions(self, kind: str, namespace: str | None) -> dict[Key, str]:
        """Of every MarketFeed, or of every object with our label that belongs to one; of all namespaces without one.

        No more than a part of the objects is in memory at a time.
        """
        labels = None if kind == KIND else MANAGED
        found = self._client.list(KINDS[kind], namespace=namespace or ALL_NS, labels=labels, chunk_size=CHUNK)
        return await self._counted("list", kind, _versions(kind, found))

    async def warnings(self, pod: Key) -> list[Object]:
        """The Events that warn of a pod."""
        fields = {"involvedObject.kind": "Pod", "involvedObject.name": pod.name, "type": "Warning"}
        found = self._client.list(KINDS["Event"], namespace=pod.namespace, fields=fields)
        return await self._counted("list", "Event", _all(found))

    async def is_served(self, kind: str, namespace: str | None) -> bool:
        """Whether the API server knows the kind."""
        try:
            await self._counted(
                "list", kind, _first(self._client.list(KINDS[kind], namespace=namespace or ALL_NS, chunk_size=1))
            )
        except RefusedError as error:
            if error.code == NOT_FOUND:
                return False
            raise
        return True

    async def _counted[T](self, verb: str, kind: str, request: Awaitable[T], subresource: str = "") -> T:
        code, resource = "error", "/".join(filter(None, (PLURALS[kind][2], subresource)))
        try:
            answer = await request
            code = "200"
            if verb != "list":
                counter(Metric.OPERATOR_API_WRITES).labels(verb, resource).inc()
            return answer
        except ApiError as error:
            code = str(error.status.code)
            raise _refusal(error) from error
        except httpx2.HTTPError as error:
            raise InfraError("kubernetes", f"{type(error).__name__}: {error}") from error
        except KeyError as error:
            # What lightkube makes of a refusal without a content type: a proxy's, not the API server's.
            raise InfraError("kubernetes", f"an answer that is not the API server's: no {error}") from error
        finally:
            counter(Metric.OPERATOR_API_REQUESTS).labels(verb, resource, code).inc()


async def _all(found: AsyncIterable[Object]) -> list[Object]:
    return [dict(item) async for item in found]


async def _versions(kind: str, found: AsyncIterable[Object]) -> dict[Key, str]:
    versions = {}
    async for item in found:
        if feed_of(kind, item) is not None:
            metadata = item["metadata"]
            versions[Key(metadata["namespace"], metadata["name"])] = metadata["resourceVersion"]
    return versions


async def _first(found: AsyncIterable[Object]) -> Object | None:
    async for item in found:
        return item
    return None


def _refusal(error: ApiError) -> Exception:
    code, message = error.status.code or 0, error.status.message or ""
    causes = (error.status.details.causes if error.status.details else None) or []
    conflicts = [cause.message or "" for cause in causes if cause.reason == "FieldManagerConflict"]
    if conflicts:
        return FieldConflictError(message, by_apply=not all(map(_is_by_update, conflicts)))
    if code >= 500 or code == TOO_MANY:
        return InfraError("kubernetes", message)
    return RefusedError(code, message)


def _is_by_update(conflict: str) -> bool:
    """``conflict with "kubectl-edit" using apps/v1``, as against ``conflict with "argocd"``.

    https://github.com/kubernetes/kubernetes/blob/v1.34.0/staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/conflict.go
    """
    return " using " in conflict
