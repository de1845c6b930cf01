"""A namespace of the cluster, by kubectl and helm, as users have it."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.chart.tools import UMBRELLA, tool
from tests.support.polling import eventually

Object = dict[str, Any]

RELEASE = "tickplane"
ROLLOUT_S = 240


class CommandError(AssertionError):
    """What a command said that failed."""


class Cluster:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    async def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """What it printed. Raises CommandError."""
        return await _run(tool("kubectl"), "--namespace", self.namespace, *arguments, stdin=stdin)

    async def helm(self, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        """What it printed; ``values`` are those of an install or upgrade."""
        given = ("--values", "-") if values is not None else ()
        stdin = json.dumps(values or {})
        return await _run(tool("helm"), "--namespace", self.namespace, *arguments, *given, stdin=stdin)

    async def install(self, values: Mapping[str, Any]) -> None:
        """``helm upgrade --install --wait``. It takes over the CustomResourceDefinition, which other tests share."""
        external = str(UMBRELLA / "values-external.yaml")
        await self.helm(
            *(
                "upgrade",
                "--install",
                RELEASE,
                str(UMBRELLA),
                "--wait",
                "--timeout",
                "5m",
                "--take-ownership",
                "--values",
                external,
            ),
            values=values,
        )

    async def apply(self, *objects: Object) -> None:
        """As ``kubectl apply`` does."""
        await self.kubectl(
            "apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    async def get(self, kind: str, name: str) -> Object:
        found: Object = json.loads(await self.kubectl("get", kind, name, "--output", "json"))
        return found

    async def listed(self, kind: str, selector: str = "") -> dict[str, Object]:
        """By name."""
        chosen = ("--selector", selector) if selector else ()
        found = json.loads(await self.kubectl("get", kind, *chosen, "--output", "json"))
        return {item["metadata"]["name"]: item for item in found["items"]}

    async def patch(self, kind: str, name: str, change: Object) -> None:
        await self.kubectl("patch", kind, name, "--type", "merge", "--patch", json.dumps(change))

    async def delete(self, kind: str, name: str, *options: str) -> None:
        await self.kubectl("delete", kind, name, *options)

    async def rolled_out(self, *workloads: str) -> None:
        """Wait until every pod of these (``deployment/name``) is new and ready, and no old one is left."""
        for workload in workloads:
            await self.kubectl("rollout", "status", workload, f"--timeout={ROLLOUT_S}s")

    async def pods(self, service: str) -> dict[str, Object]:
        """The pods of one service that are not on their way out."""
        found = await self.listed("pods", f"app.kubernetes.io/name={service}")
        return {name: pod for name, pod in found.items() if "deletionTimestamp" not in pod["metadata"]}

    async def last_words(self) -> str:
        """For a person: the pods, what happened to them, and the end of each one's log."""
        said = [await self.kubectl("get", "pods,marketfeeds", "--output", "wide")]
        said.append(await self.kubectl("get", "events", "--sort-by=.lastTimestamp"))
        for name in await self.listed("pods"):
            for previous in ("true", "false"):
                with contextlib.suppress(CommandError):
                    said.append(
                        f"---- {name} {await self.kubectl('logs', name, '--tail=15', f'--previous={previous}')}"
                    )
        return "\n".join(said)

    async def address(self, service: str) -> str:
        """``host:port`` of a service of the release: its cluster IP, which has to be reachable from here."""
        spec = (await self.get("service", f"{RELEASE}-{service}"))["spec"]
        (port,) = (port["port"] for port in spec["ports"] if port["name"] == "http")
        return f"{spec['clusterIP']}:{port}"

    async def conditions(self, feed: str) -> dict[str, tuple[str, str, str]]:
        """Each condition's status, reason and message."""
        status = (await self.get("marketfeed", feed)).get("status", {})
        return {
            each["type"]: (each["status"], each["reason"], each["message"]) for each in status.get("conditions", [])
        }

    async def until(self, feed: str, condition: str, status: str, timeout_s: float = 90) -> None:
        """Wait until the feed's condition has this status, for the spec as it is now, and nothing is under way."""

        async def holds() -> bool:
            found = await self.get("marketfeed", feed)
            conditions = await self.conditions(feed)
            assert found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"], conditions
            assert (conditions[condition][0], conditions["Progressing"][0]) == (status, "False"), conditions
            return True

        await eventually(holds, timeout_s, interval_s=0.5)


async def _run(*command: str, stdin: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate(stdin.encode())
    if process.returncode:
        raise CommandError(f"{' '.join(command)}: {errors.decode()}{output.decode()}")
    return output.decode()


async def beside[T](work: Awaitable[T], load: Callable[[], Awaitable[None]]) -> T:
    """Do the work while the load runs."""
    task = asyncio.ensure_future(load())
    try:
        return await work
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
