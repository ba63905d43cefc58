"""Capabilities: what the MGM tells an FST about a transfer, signed, by way of the client."""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from backends.eos.emulator.entries import SECOND

LIFETIME: Final = 3600
# EOS escapes these in the redirect's query, and nothing else.
_ESCAPED: Final = str.maketrans({"+": "%2B", "/": "%2F", "=": "%3D", "&": "%26", "#": "%23", '"': "%22"})


class CapabilityError(Exception):
    """A capability that is missing, forged, damaged or too old."""


class Capability(msgspec.Struct, frozen=True, kw_only=True):
    """One transfer. `access` is read, create or update; `fsids` are the filesystems of the replicas, entry first."""

    access: str
    fid: int
    path: bytes
    uid: int
    gid: int
    layout: int
    fsids: list[int]
    valid: int
    nonce: str
    ctime: int
    etag: str = ""
    mtime: int = 0
    size: int = 0
    # Bytes that were announced at the MGM, and that the close must find; 0 when nothing was.
    target: int = 0
    min_size: int = 0
    max_size: int = 0
    # The visible name, when the upload goes to a hidden one first.
    atomic: bytes = b""
    versions: int = 0
    checksum: str = ""
    altxs: list[str] = []


class Capabilities:
    """Signs and checks. All FSTs share the key with the MGM."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(b"capability\0" + key).digest()

    def signed(self, capability: Capability) -> str:
        """The query for the redirect: `encURI=` and the escaped fields, to be sent again byte for byte."""
        body = msgspec.json.encode(capability)
        message = base64.b64encode(hmac.digest(self._key, body, "sha256") + body).decode()
        fields = (
            f"cap.key={secrets.token_urlsafe(6)}&cap.format=AEAD&cap.sym={base64.b64encode(self._key[:18]).decode()}=="
            f"&cap.msg={message}&mgm.logid={capability.nonce}&mgm.replicaindex=0&mgm.replicahead=0"
            f"&mgm.etag={capability.etag}&mgm.id={capability.fid:08x}&mgm.mtime={capability.mtime // SECOND}"
        )
        return f"encURI={fields.translate(_ESCAPED)}"

    def opened(self, query: str, now: int) -> Capability:
        """The capability in the query of a request, at `now` nanoseconds. Raises `CapabilityError`."""
        pairs = dict(part.partition("=")[::2] for part in query.split("&"))
        sent = pairs.get("encURI", "")
        fields = unquote_to_bytes(sent).decode("utf-8", "replace")
        if fields.translate(_ESCAPED) != sent:
            raise CapabilityError("the capability was not sent as it was received")
        message = dict(part.partition("=")[::2] for part in fields.split("&")).get("cap.msg", "")
        try:
            packed = base64.b64decode(message, validate=True)
        except (binascii.Error, ValueError) as error:
            raise CapabilityError("the capability cannot be decoded") from error
        signature, body = packed[:32], packed[32:]
        if not body or not hmac.compare_digest(signature, hmac.digest(self._key, body, "sha256")):
            raise CapabilityError("the capability is not signed by this instance")
        capability = msgspec.json.decode(body, type=Capability)
        if capability.valid * SECOND <= now:
            raise CapabilityError("the capability has expired")
        return capability
