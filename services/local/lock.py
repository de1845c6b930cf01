"""``python -m services.local.lock``: every lock anew. None of them names a registry's host."""

import subprocess
import sys
from pathlib import Path

from services.local.bootstrap import REQUIREMENTS, ROOT, find_uv

KAFKA = ROOT / "services" / "local" / "kafka"
GROUPS: dict[str, tuple[str, ...]] = {"image": (), "run": ("local",), "dev": ("dev",), "bench": ("dev", "bench")}
"""Each lock and its dependency groups; each holds to the versions of the one before."""


def main() -> None:
    uv = find_uv()
    constraints: list[str] = []
    for name, groups in GROUPS.items():
        chosen = [option for group in groups for option in ("--group", group)]
        _compile(uv, name, "pyproject.toml", *chosen, *constraints)
        constraints = ["--constraints", str(REQUIREMENTS / f"{name}.txt")]
    _compile(uv, "uv", str(REQUIREMENTS / "uv.in"))
    subprocess.run([Path(sys.executable).parent / "jgo", "--ignore-config", "--quiet", "lock"], check=True, cwd=KAFKA)


def _compile(uv: str, name: str, *arguments: str) -> None:
    options = ("--universal", "--generate-hashes", "--no-header", "--no-annotate", "--upgrade", "--quiet")
    output = REQUIREMENTS / f"{name}.txt"
    subprocess.run([uv, "pip", "compile", *options, *arguments, "-o", output], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
