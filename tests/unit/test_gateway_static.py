"""What the gateway serves of the dashboard, and with which headers."""

import gzip
from base64 import b64encode
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

import pytest

from services.gateway.static import Dashboard

SCRIPT = "theme()"
PAGE = f"<!doctype html><script>{SCRIPT}</script><script type='module' src='/assets/index-abc.js'></script>"
PROGRAM = "console.log(1);" * 200


@pytest.fixture
def dashboard(tmp_path: Path) -> Dashboard:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / ".sources").write_text("a stamp")
    (tmp_path / "assets" / "index-abc.js").write_text(PROGRAM)
    (tmp_path / "assets" / "small-abc.css").write_text("a{}")
    (tmp_path / "assets" / "a.js.map").write_text("{}")
    return Dashboard(tmp_path)


def test_the_page_is_asked_for_each_time_and_its_parts_never_again(dashboard: Dashboard) -> None:
    page, part = dashboard.find("/"), dashboard.find("/assets/index-abc.js")
    assert page is not None
    assert part is not None
    assert (page.status, page.body, page.content_type) == (HTTPStatus.OK, PAGE.encode(), "text/html; charset=utf-8")
    assert page.headers["Cache-Control"] == "no-cache"
    assert part.content_type == "text/javascript; charset=utf-8"
    assert "immutable" in part.headers["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/index.html",
        "/.sources",
        "/assets/",
        "/assets/../index.html",
        "/assets/%2e%2e/index.html",
        "/assets/a.js.map",
    ],
)
def test_nothing_else_is_there(dashboard: Dashboard, path: str) -> None:
    assert dashboard.find(path) is None


def test_the_policy_lets_in_what_came_from_here_and_the_scripts_of_the_page(dashboard: Dashboard) -> None:
    page = dashboard.find("/")
    assert page is not None
    digest = b64encode(sha256(SCRIPT.encode()).digest()).decode()
    policy = page.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", f"script-src 'self' 'sha256-{digest}'", "connect-src 'self'"} <= set(policy)
    assert "frame-ancestors 'none'" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0, br", False),
    ],
)
def test_what_is_worth_it_is_compressed_for_those_who_take_it(
    dashboard: Dashboard, accepted: str, zipped: bool
) -> None:
    part = dashboard.find("/assets/index-abc.js", accepted)
    assert part is not None
    assert ("Content-Encoding" in part.headers) is zipped
    assert (gzip.decompress(part.body) if zipped else part.body) == PROGRAM.encode()
    assert part.headers["Vary"] == "Accept-Encoding"


def test_what_is_small_is_not_compressed(dashboard: Dashboard) -> None:
    part = dashboard.find("/assets/small-abc.css", "gzip")
    assert part is not None
    assert part.body == b"a{}"


def test_without_a_build_the_page_says_so(tmp_path: Path) -> None:
    dashboard = Dashboard(tmp_path)
    page = dashboard.find("/")
    assert page is not None
    assert b"make dashboard" in page.body
    assert page.headers["Cache-Control"] == "no-cache"
    assert dashboard.find("/assets/index-abc.js") is None
