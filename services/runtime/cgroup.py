"""What the kernel lets this process take. In a pod that is the container's limit; without one there is none to say."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MEMBERSHIPS = Path("/proc/self/cgroup")
HIERARCHIES = Path("/sys/fs/cgroup")
V1_NO_LIMIT_BYTES = 1 << 62
"""Version 1 says the largest number of pages there is where version 2 says ``max``."""


def memory_limit_bytes(memberships: Path = MEMBERSHIPS, hierarchies: Path = HIERARCHIES) -> int | None:
    """The smallest limit on this process' own group and those around it; None where there is none, nor any cgroup.

    A container sees its own group as the root, whatever the path says: groups that cannot be seen are passed over.
    https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
    """
    return min(filter(None, map(_limit_bytes, _files(memberships, hierarchies))), default=None)


def _files(memberships: Path, hierarchies: Path) -> Iterator[Path]:
    """Where a limit may stand: of version 2, and of the controller ``memory`` of version 1."""
    try:
        lines = memberships.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = hierarchies, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = hierarchies / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        yield from (root / each / name for each in (group, *group.parents))


def _limit_bytes(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text != "max" and int(text) < V1_NO_LIMIT_BYTES else None
