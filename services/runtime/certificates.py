"""When the certificates in a file expire.

Python's own ssl tells it of authorities and of peers, but not of one's own certificate, and a library for all of X.509
would be much for one date. The way to it is the same in every certificate (RFC 5280, 4.1):
``Certificate › TBSCertificate › [version], serial number, signature, issuer, validity › not before, not after``.
"""

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

Element = tuple[int, bytes]
"""Tag and content."""

VERSION_TAG = 0xA0
FORMATS = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""By tag: UTCTime, for the years until 2049, and GeneralizedTime."""
LONG_LENGTH = 0x80

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def expiry_time_s(file: Path) -> float:
    """When the first of a PEM file's certificates expires, in Unix time. Raises OSError or ValueError."""
    found = _PEM.findall(file.read_text(errors="replace"))
    if not found:
        raise ValueError("there is no certificate in the file")
    return min(not_after_s(ssl.PEM_cert_to_DER_cert(pem)) for pem in found)


def not_after_s(certificate: bytes) -> float:
    """Of one certificate in DER, in Unix time. Raises ValueError."""
    try:
        ((_, whole),) = _elements(certificate)
        (_, to_be_signed), *_ = _elements(whole)
        fields = _elements(to_be_signed)
        has_version = fields[0][0] == VERSION_TAG
        _, validity = fields[3 + has_version]
        _, (tag, text) = _elements(validity)
        return datetime.strptime(text.decode(), FORMATS[tag]).replace(tzinfo=UTC).timestamp()
    except (ValueError, LookupError) as error:
        raise ValueError(f"not a certificate: {error}") from error


def _elements(content: bytes) -> list[Element]:
    """What stands in it, one after the other (X.690, DER)."""
    found, at = [], 0
    while at < len(content):
        tag, length = content[at], content[at + 1]
        at += 2
        if length & LONG_LENGTH:
            size = length - LONG_LENGTH
            length = int.from_bytes(content[at : at + size])
            at += size
        found.append((tag, content[at : at + length]))
        at += length
    return found
