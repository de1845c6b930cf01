"""The broker's jars: fetched by jgo into the Maven repository of this machine, and checked against the lock.

The lock names coordinates and SHA-256 sums and no host; jgo knows Maven Central.
"""

import hashlib
import importlib
import tomllib
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import environ
from pathlib import Path

from services.contracts.errors import InfraError

LOCK = Path(__file__).parent / "jgo.lock.toml"
PARALLEL_DOWNLOADS = 4
TIMEOUT_S = 60


@dataclass(frozen=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str

    def path(self, repository: Path) -> Path:
        """Where Maven keeps it."""
        folder = repository.joinpath(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"

    def is_sound(self, repository: Path) -> bool:
        path = self.path(repository)
        return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


def locked() -> list[Jar]:
    """The jars of the lock, in the class path's order."""
    lock = tomllib.loads(LOCK.read_text())
    return [Jar(d["groupId"], d["artifactId"], d["version"], d["sha256"]) for d in lock["dependencies"]]


def maven_repository() -> Path:
    return Path(environ.get("M2_REPO") or Path.home() / ".m2" / "repository")


def class_path() -> list[Path]:
    """Every jar of the lock, fetched where it is absent or not what the lock says. Raises InfraError."""
    repository = maven_repository()
    jars = locked()
    missing = [jar for jar in jars if not jar.is_sound(repository)]
    if missing:
        _fetch(missing, repository)
    return [jar.path(repository) for jar in jars]


def _fetch(jars: list[Jar], repository: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        importlib.import_module("jgo.maven")
    with _progress(len(jars)) as advance, ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        for _ in pool.map(partial(_fetch_one, repository), jars):
            advance()


def _fetch_one(repository: Path, jar: Jar) -> None:
    from jgo.maven import MavenContext

    jar.path(repository).unlink(missing_ok=True)
    context = MavenContext(repo_cache=repository, timeout=TIMEOUT_S)
    try:
        context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except (OSError, RuntimeError) as error:
        raise InfraError("Maven Central", f"cannot fetch {jar.artifact} {jar.version}: {error}") from error
    if not jar.is_sound(repository):
        jar.path(repository).unlink()
        raise InfraError("Maven Central", f"{jar.artifact} {jar.version} is not what the lock says")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(TextColumn("Apache Kafka"), BarColumn(), MofNCompleteColumn(), TextColumn("jars")) as progress:
        yield partial(progress.advance, progress.add_task("jars", total=total))
