"""Every line is one JSON object with the same few fields, whoever says it and however the process ends."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.runtime.logging import error_of
from tests.support.canaries import Canary, leaks
from tests.support.log_lines import LEVELS, SNAKE_CASE, misshapen
from tests.support.services import ROOT, clean_environment

OTHER_WORDS = {"product_id", "exchange_name", "message", "msg", "service", "level", "time"}
"""``product``, ``exchange`` and ``error`` are ours; the others every line has anyway."""

EVERYBODY = """
import asyncio, gc, logging as library, threading, warnings
import structlog
from services.runtime import logging
from services.runtime.serve import run_service
from services.runtime.settings import KafkaSettings

class Finalized:
    def __del__(self):
        raise ValueError("in a finalizer")

def fails(where):
    raise ValueError(where)

async def fails_unwatched():
    fails("in a task")

async def main(settings, health):
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    structlog.contextvars.bind_contextvars(request_id="r-1")
    logging.logger().info("said", exchange="demo", product="BTC-USD", error="open sesame", nested={"a": ["sesame!"]})
    logging.logger().debug("not_said")
    library.getLogger("a.library").warning("of two\\nlines: %s", "open sesame")
    library.getLogger("a.library").info("not said")
    warnings.warn("an old way")
    thread = threading.Thread(target=fails, args=("in a thread",))
    thread.start()
    thread.join()
    Finalized()
    loop.call_soon(fails, "in a callback")
    task = asyncio.create_task(fails_unwatched())
    await asyncio.sleep(0.01)
    del task
    gc.collect()
    fails("in the end")

run_service("test", KafkaSettings, main)
"""

UNCAUGHT = """
from services.runtime import logging
logging.configure("test")
raise RuntimeError("before anything")
"""


def run(program: str, **env: str) -> tuple[int, list[dict[str, Any]]]:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**clean_environment(), "KAFKA_SASL_PASSWORD": "open sesame", **env},
    )
    assert ended.stderr == ""
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert not leaks(ended.stdout, [Canary("open sesame")])
    assert misshapen(ended.stdout, "test") == []
    return ended.returncode, lines


@pytest.fixture(scope="module")
def everybody() -> tuple[int, list[dict[str, Any]]]:
    return run(EVERYBODY)


def one(lines: list[dict[str, Any]], text: str) -> dict[str, Any]:
    (found,) = (line for line in lines if text in json.dumps(line))
    return found


def test_ours_has_its_fields_and_the_requests_id(everybody: tuple[int, list[dict[str, Any]]]) -> None:
    said = one(everybody[1], '"said"')
    del said["time"]
    assert said == {
        "event": "said",
        "level": "info",
        "service": "test",
        "request_id": "r-1",
        "exchange": "demo",
        "product": "BTC-USD",
        "error": "***",
        "nested": {"a": ["sesame!"]},
    }


def test_a_librarys_is_an_event_with_its_name_and_message(everybody: tuple[int, list[dict[str, Any]]]) -> None:
    said = one(everybody[1], "of two")
    assert (said["event"], said["level"], said["logger"]) == ("library", "warning", "a.library")
    assert said["message"] == "of two\nlines: ***"
    assert said["request_id"] == "r-1"


def test_a_warning_is_a_line(everybody: tuple[int, list[dict[str, Any]]]) -> None:
    said = one(everybody[1], "an old way")
    assert (said["event"], said["level"], said["logger"]) == ("library", "warning", "py.warnings")


@pytest.mark.parametrize("where", ["in a thread", "in a finalizer"])
def test_what_nobody_catches_is_a_line(everybody: tuple[int, list[dict[str, Any]]], where: str) -> None:
    said = one(everybody[1], where)
    assert (said["event"], said["level"]) == ("uncaught", "critical")
    assert (said["error"], said["error_type"]) == (where, "ValueError")
    assert said["exception"].startswith("Traceback")


@pytest.mark.parametrize("where", ["in a callback", "in a task"])
def test_what_asyncio_finds_uncaught_is_a_line(everybody: tuple[int, list[dict[str, Any]]], where: str) -> None:
    said = one(everybody[1], where)
    assert (said["event"], said["level"], said["logger"]) == ("library", "error", "asyncio")
    assert said["exception"].startswith("Traceback")


def test_what_ends_the_service_is_the_last_line(everybody: tuple[int, list[dict[str, Any]]]) -> None:
    code, lines = everybody
    assert code == 1
    assert (lines[-1]["event"], lines[-1]["error"]) == ("failed", "in the end")
    assert lines[-1]["exception"].startswith("Traceback")


def test_what_is_below_the_level_is_not_said(everybody: tuple[int, list[dict[str, Any]]]) -> None:
    assert "not_said" not in json.dumps(everybody[1])
    assert "not said" not in json.dumps(everybody[1])


def test_a_traceback_of_the_interpreter_is_a_line() -> None:
    code, (line,) = run(UNCAUGHT)
    assert code == 1
    assert (line["event"], line["error"]) == ("uncaught", "before anything")


def test_a_bad_setting_is_a_line() -> None:
    code, (line,) = run(EVERYBODY, KAFKA_SECURITY_PROTOCOL="SASL_SSL", KAFKA_SASL_PASSWORD="")
    assert code == 2
    assert line["event"] == "bad_setting"
    assert "KAFKA_SASL_PASSWORD" in line["error"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"event": "failed", "error": "why"}', "why"),
        ("why", "why"),
        ("[1]", "[1]"),
        ('{"event": "x"}', '{"event": "x"}'),
    ],
)
def test_the_error_of_a_line_is_what_it_says_of_it(line: str, error: str) -> None:
    assert error_of(line) == error


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every line that our code can write."""
    for folder in ("services", "operator"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and _is_of_a_logger(node.func):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def _is_of_a_logger(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute) or function.attr not in {*LEVELS, "exception"}:
        return False
    owner = ast.unparse(function.value)
    return owner.rpartition(".")[2] in ("log", "_log", "logger()")


def test_our_lines_use_the_same_few_words() -> None:
    found = list(calls())
    assert len(found) > 30, "they are not found any more"
    for where, call in found:
        event = call.args[0]
        if isinstance(event, ast.Constant):
            assert SNAKE_CASE.fullmatch(str(event.value)), where
        named = {keyword.arg for keyword in call.keywords}
        assert not named & OTHER_WORDS, where


def test_the_control_sees_a_logger() -> None:
    text = 'self._log.warning("Not So", product_id=1)'
    (call,) = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    assert _is_of_a_logger(call.func)
    assert not SNAKE_CASE.fullmatch("Not So")
    assert Path(__file__).is_relative_to(ROOT)
