"""The commands of a runbook's diagnosis, run as the person on call would."""

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path

RUNBOOKS = Path(__file__).parents[2] / "monitoring" / "runbooks"
TIMEOUT_S = 30
_DIAGNOSIS = re.compile(r"^## Diagnosis$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_COMMANDS = re.compile(r"^```(?:sh|bash|console)?$(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(alert: str) -> list[str]:
    """Those of its diagnosis, one a line."""
    found = _DIAGNOSIS.search((RUNBOOKS / f"{alert}.md").read_text())
    assert found is not None, f"the runbook of {alert} has no diagnosis"
    lines = "\n".join(_COMMANDS.findall(found[1])).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


async def shown_by(alert: str, expected: str, variables: Mapping[str, str], programs: Path) -> str | None:
    """The first command of the diagnosis whose output has what is expected. ``programs``: where ``psql`` is, last."""
    for command in commands(alert):
        if expected in await _run(command, variables, programs):
            return command
    return None


async def _run(command: str, variables: Mapping[str, str], programs: Path) -> str:
    tools = os.environ.get("TICKPLANE_KUBE_TOOLS", "")
    path = os.pathsep.join(filter(None, (tools, os.environ["PATH"], str(programs))))
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        env={**os.environ, **variables, "PATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        return f"nothing within {TIMEOUT_S} s"
    return output.decode(errors="replace")
