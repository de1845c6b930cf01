"""When certificates expire: what is read of them is what Python's own ssl says of those that it shows."""

import contextlib
import ssl
from pathlib import Path

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.certificates import expiry_time_s, not_after_s
from tests.support.secure import CA, CLIENT, SERVER

WELL_KNOWN = ssl.create_default_context(cafile=certifi.where())
ONE = WELL_KNOWN.get_ca_certs(binary_form=True)[0]

FIRST_VERSION = """\
-----BEGIN CERTIFICATE-----
MIIBKzCB0wIUUXenw3zBbfCCDZwZIsEcNYukbVswCgYIKoZIzj0EAwIwGDEWMBQG
A1UEAwwNZmlyc3QgdmVyc2lvbjAgFw0yNjExMjkxNzI3MTFaGA8yMDUxMDcyMTE3
MjcxMVowGDEWMBQGA1UEAwwNZmlyc3QgdmVyc2lvbjBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABC2RKDZKoupMeBeDGcx63bGHo0M8wGQMw2PLOo5vDSEKI/5lxT2i
aMA4cWbVYImVgvChwX/vjbqzmOfzM9mC2JswCgYIKoZIzj0EAwIDRwAwRAIgXSUK
y9pgY2J9v4wrRrkUAGjm/YZ37bZ3T9pKtvRxLVQCIFItHop8PCLFk+aQbNr/O7Lq
4GVouxilgrF7U6e1CtFN
-----END CERTIFICATE-----
"""
"""A certificate of X.509's first version, which does not say so."""


def test_the_date_is_what_ssl_says_of_every_well_known_authority() -> None:
    shown = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in WELL_KNOWN.get_ca_certs()]
    assert len(shown) > 50
    assert [not_after_s(each) for each in WELL_KNOWN.get_ca_certs(binary_form=True)] == shown
    assert expiry_time_s(Path(certifi.where())) == min(shown)


def test_a_certificate_of_ones_own_is_read_too_beside_its_key() -> None:
    assert expiry_time_s(CA) == expiry_time_s(SERVER) == ssl.cert_time_to_seconds("Oct 28 14:54:38 2126 GMT")
    assert expiry_time_s(CLIENT) == ssl.cert_time_to_seconds("Oct 28 18:32:30 2126 GMT")


def test_a_certificate_that_names_no_version_is_one_too(tmp_path: Path) -> None:
    (tmp_path / "first.pem").write_text(FIRST_VERSION)
    assert expiry_time_s(tmp_path / "first.pem") == ssl.cert_time_to_seconds("Jul 21 17:27:11 2051 GMT")


@pytest.mark.parametrize("first_is_earlier", [True, False])
def test_of_several_the_first_to_expire_counts(tmp_path: Path, first_is_earlier: bool) -> None:
    file = tmp_path / "both.pem"
    file.write_text("\n".join(each.read_text() for each in ((CA, CLIENT) if first_is_earlier else (CLIENT, CA))))
    assert expiry_time_s(file) == expiry_time_s(CA) < expiry_time_s(CLIENT)


@pytest.mark.parametrize("text", ["", "no certificate", CA.read_text()[:300], SERVER.read_text()[:500]])
def test_a_file_without_one_is_said_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "file.pem").write_text(text)
    with pytest.raises(ValueError, match="no certificate"):
        expiry_time_s(tmp_path / "file.pem")


@given(st.one_of(st.binary(), st.integers(0, len(ONE)).map(lambda end: ONE[:end])))
def test_whatever_it_is_instead_is_a_value_error(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert not_after_s(content) == not_after_s(ONE)
