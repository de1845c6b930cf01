"""A child process: what it says is kept, it ends when told to, and it does not outlive us."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from services.local.process import Process
from tests.support.polling import eventually
from tests.support.services import clean_environment

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
PARENT = """
import asyncio, sys
from pathlib import Path
from services.local.process import Process
async def main():
    child = Process("child", Path(sys.argv[1]))
    await child.start(["sleep", "600"])
    print(child.pid, flush=True)
    await child.wait()
asyncio.run(main())
"""
PARENT_WITHOUT_GUARD = """
import subprocess
child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
child.wait()
"""


async def test_output_is_kept_and_the_exit_code_returned(tmp_path: Path) -> None:
    seen: list[str] = []
    process = Process("talker", tmp_path / "talker.log", on_line=seen.append)
    await process.start(["sh", "-c", "echo one; echo two >&2; printf three; exit 3"])
    assert await process.wait() == 3
    assert seen == ["one", "two", "three"]
    assert process.log.read_text().split() == seen
    assert process.last_words() == "three"


async def test_the_log_is_rotated(tmp_path: Path) -> None:
    process = Process("talker", tmp_path / "talker.log", log_max_bytes=1_000)
    await process.start(["seq", "1", "2000"])
    await process.wait()
    kept = [process.log, *(process.log.with_name(f"talker.log.{n}") for n in (1, 2, 3))]
    assert len(list(process.log.parent.glob("*"))) == len(kept)
    assert all(path.stat().st_size <= 1_000 for path in kept)
    assert process.log.read_text().split()[-1] == "2000"


async def test_what_does_not_end_in_its_grace_is_killed(tmp_path: Path) -> None:
    process = Process("stubborn", tmp_path / "stubborn.log")
    await process.start([sys.executable, "-c", STUBBORN])
    await eventually(lambda: "up" in process.tail)
    assert await process.stop(grace_s=0.2) == -signal.SIGKILL


async def test_kill_takes_what_it_started_with_it(tmp_path: Path) -> None:
    process = Process("family", tmp_path / "family.log")
    await process.start(["sh", "-c", "sleep 600 & echo $!; wait"])
    await eventually(lambda: bool(process.tail))
    grandchild = int(process.tail[0])
    process.kill()
    await process.wait()
    await eventually(lambda: not psutil.pid_exists(grandchild))


async def orphan_of(script: str, argument: str) -> int:
    """Run a parent, kill it outright, and return the process id of the child it had."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, argument, stdout=subprocess.PIPE, env=clean_environment()
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    return child


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux' kernel does this for us")
async def test_a_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    child = await orphan_of(PARENT, str(tmp_path / "child.log"))
    await eventually(lambda: not psutil.pid_exists(child))


async def test_control_without_the_guard_it_does(tmp_path: Path) -> None:
    child = psutil.Process(await orphan_of(PARENT_WITHOUT_GUARD, ""))
    with pytest.raises(psutil.TimeoutExpired):
        child.wait(timeout=0.5)
    child.kill()
