"""``python3 -I services/local/bootstrap.py run|dev|bench``: from nothing but Python 3.11 to a ``.venv`` with Tickplane.

Only the standard library, for nothing else is there yet. What is fetched is pinned by hash in ``requirements/`` and
goes into the project's own folder. When nothing changed since the last time, nothing is done.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
REQUIREMENTS = ROOT / "requirements"
PYTHON = VENV / "bin" / "python"
PYTHON_VERSION = (ROOT / ".python-version").read_text().strip()


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 (the one file that an older Python may meet)
        sys.exit("tickplane: Python 3.11 or newer is needed; name one with `make PYTHON=python3.12 …`")
    group = sys.argv[1]
    stamp = VENV / f"installed-{group}"
    wanted = fingerprint(group)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    try:
        install(group, find_uv())
    except subprocess.CalledProcessError as error:
        sys.exit(f"tickplane: `{' '.join(map(str, error.cmd))}` failed, see above; the next try goes on from here")
    stamp.write_text(wanted)


def fingerprint(group: str) -> str:
    """Changes with what is to be installed."""
    inputs = (REQUIREMENTS / f"{group}.txt", ROOT / "pyproject.toml", ROOT / "services/local/kafka/jgo.lock.toml")
    return hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()


def install(group: str, uv: str) -> None:
    say(f"installing what `{group}` needs into .venv")
    if not has_python():
        run(uv, "venv", "--quiet", "--clear", "--python", PYTHON_VERSION, VENV)
    pip = (uv, "pip", "install", "--quiet", "--python", PYTHON)
    run(*pip, "--require-hashes", "--compile-bytecode", "-r", REQUIREMENTS / f"{group}.txt")
    run(*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT)
    run(PYTHON, "-m", "compileall", "-q", ROOT / "services")
    run(PYTHON, "-m", "services.local.install")


def has_python() -> bool:
    """Whether ``.venv`` is there and of the right version."""
    if not PYTHON.exists():
        return False
    asked = subprocess.run([PYTHON, "--version"], check=False, capture_output=True, text=True)
    return asked.stdout.startswith(f"Python {PYTHON_VERSION}.")


def find_uv() -> str:
    """The user's uv, or one of our own in ``.tools``."""
    ours = TOOLS / "bin" / "uv"
    found = shutil.which("uv") or (str(ours) if ours.exists() else None)
    if found is None:
        say("fetching uv into .tools")
        run(
            *(sys.executable, "-m", "pip", "install", "--quiet", "--root-user-action=ignore", "--target", TOOLS),
            *("--require-hashes", "-r", REQUIREMENTS / "uv.txt"),
        )
        found = str(ours)
    return found


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT, env=environment())


def environment() -> "dict[str, str]":
    """Ours, but that modules are compiled: nine services start in half the time."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def say(text: str) -> None:
    print(f"tickplane: {text}", flush=True)


if __name__ == "__main__":
    main()
