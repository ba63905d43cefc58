"""GET and HEAD at an FST."""

import errno
import mimetypes
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from backends.eos.emulator import layouts
from backends.eos.emulator.capabilities import Capability
from backends.eos.emulator.entries import File
from backends.eos.emulator.failures import EosError
from backends.eos.emulator.faults import Call, Rule, throttle
from backends.eos.emulator.http_answers import HttpFailure, http_date
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.storage import BLOCK, Replica
from backends.eos.emulator.wire import Connection, Disconnected, Request

BOUNDARY: Final = "EOSMULTIPARTBOUNDARY"
_ONE: Final = re.compile(r"(\d*)-(\d*)")
_DAMAGE: Final = ("short_body", "corrupt_body", "wrong_length", "chunked_body", "buggy206", "fst_reset")


def parsed_ranges(header: str, size: int) -> list[tuple[int, int]]:
    """The ranges (first, last) of a Range header, sorted and merged; empty when there is none that counts.

    Raises `HttpFailure`: 416 when one begins at or after the end, 500 for a suffix longer than the file, for which EOS
    computes a negative start.
    """
    unit, _, text = header.partition("=")
    if unit.strip() != "bytes" or not text:
        return []
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        match = _ONE.fullmatch(part.strip())
        if match is None or not (match[1] or match[2]):
            return []
        if not match[1]:
            if int(match[2]) > size:
                raise HttpFailure(500, "illegal offset")
            first, last = size - int(match[2]), size - 1
        else:
            first, last = int(match[1]), min(int(match[2]) if match[2] else size - 1, size - 1)
        if first >= size:
            raise HttpFailure(416, "Illegal Range request")
        found.append((first, last))
    merged: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


@dataclass
class Download:
    """One GET under way."""

    instance: Instance
    fst: int
    connection: Connection
    request: Request
    capability: Capability
    replica: Replica
    call: Call
    damage: dict[str, Rule]
    slow: Rule | None


def get(
    instance: Instance, fst: int, connection: Connection, request: Request, capability: Capability, call: Call
) -> None:
    """Answer with the content, or with ranges of it. Raises `HttpFailure`, `Disconnected`."""
    try:
        replica = instance.storage.open(capability.fsids[0], capability.fid)
    except OSError as error:
        raise HttpFailure(404 if error.errno == errno.ENOENT else 500, "open failed") from error
    try:
        damage = {name: rule for name in _DAMAGE if (rule := instance.faults.take(name, call)) is not None}
        slow = instance.faults.take("fst_slow", call)
        if slow is not None:
            time.sleep(slow.parameters["latency"])
        _answer(Download(instance, fst, connection, request, capability, replica, call, damage, slow))
    finally:
        replica.close()


def _answer(download: Download) -> None:
    size = download.replica.size()
    ranges = parsed_ranges(download.request.headers.get("range", ""), size)
    headers = _headers(download)
    if download.request.method == "HEAD":
        download.connection.respond(200, [*headers, ("Content-Length", str(size))], bare=True)
        return
    if len(ranges) > 1:
        _send_several(download, headers, ranges, size)
        return
    first, last = ranges[0] if ranges else (0, size - 1)
    if ranges:
        headers.append(("Content-Range", f"bytes {first}-{last}/{size}"))
    _send(download, 206 if ranges else 200, headers, first, last - first + 1)


def _headers(download: Download) -> list[tuple[str, str]]:
    capability, request = download.capability, download.request
    guess, _ = mimetypes.guess_type(capability.path.decode("utf-8", "replace"))
    headers = [
        ("Content-Type", guess or "application/octet-stream"),
        ("ETag", capability.etag),
        ("Last-Modified", http_date(capability.mtime)),
        ("Accept-Ranges", "bytes"),
    ]
    try:
        file: File | None = download.instance.namespace.file(capability.fid)
    except EosError:
        file = None
    if file is not None and file.checksum:
        kind = layouts.parsed(file.layout).checksum
        value = layouts.checksum_hex(file).lstrip("0")
        headers.append(("OC-Checksum", f"{kind.capitalize()}:{value}"))
        if "want-digest" in request.headers:
            headers.append(("Digest", f"{kind.capitalize()}={value}"))
    return headers


def _send(download: Download, status: int, headers: list[tuple[str, str]], first: int, count: int) -> None:
    """One body, with whatever damage is ordered."""
    connection, damage = download.connection, download.damage
    framing = download.instance.quirks.get_framing
    chunked = "chunked_body" in damage or (framing != "content-length" and status == 200)
    buggy = status == 206 and ("buggy206" in damage or framing == "buggy206")
    announced = count + (damage["wrong_length"].parameters["bytes"] if "wrong_length" in damage else 0)
    if chunked and not buggy:
        headers = [*headers, ("Transfer-Encoding", "chunked")]
    else:
        headers = [*headers, ("Content-Length", str(announced))]
    sent = max(0, count - damage["short_body"].parameters["bytes"]) if "short_body" in damage else count
    broken = sent != count or announced != count
    if broken:
        connection.close()
    connection.send(connection.head(status, headers))
    if chunked or buggy:
        _send_chunks(download, first, sent, ended=not broken)
    elif damage or download.slow is not None or connection.secure or download.replica.descriptor() is None:
        for block in _blocks(download, first, sent):
            connection.send(block)
    else:
        descriptor = download.replica.descriptor()
        done = connection.send_file(descriptor, first, sent) if descriptor is not None else 0
        download.instance.counters.add(f"fst.{download.fst}.bytes_out", done)
        if done != sent:
            connection.abort()
    if broken:
        raise Disconnected("short body by order")


def _send_chunks(download: Download, first: int, count: int, *, ended: bool) -> None:
    for block in _blocks(download, first, count):
        download.connection.send(b"%x\r\n" % len(block) + block + b"\r\n")
    if ended:
        download.connection.send(b"0\r\n\r\n")


def _blocks(download: Download, first: int, count: int) -> Iterator[bytes]:
    """The content from `first` on, damaged where a fault says so, at the ordered rate."""
    rate = download.slow.parameters["read_rate"] if download.slow is not None else 0
    reset, corrupt = download.damage.get("fst_reset"), download.damage.get("corrupt_body")
    limit = reset.parameters["bytes"] if reset is not None else count
    started, done = time.monotonic(), 0
    while done < min(count, limit):
        wanted = min(BLOCK, count - done, limit - done)
        if rate:
            wanted = min(wanted, max(1, int(rate // 10)))
        block = download.replica.read(first + done, wanted)
        if not block:
            raise Disconnected("the replica is shorter than it was")
        if corrupt is not None and done <= corrupt.parameters["offset"] < done + len(block):
            at = corrupt.parameters["offset"] - done
            block = block[:at] + bytes([block[at] ^ 0xFF]) + block[at + 1 :]
        done += len(block)
        download.instance.counters.add(f"fst.{download.fst}.bytes_out", len(block))
        yield block
        if rate:
            throttle(started, done, rate)
    if reset is not None:
        download.connection.abort()
        raise Disconnected("reset by order")


def _send_several(download: Download, headers: list[tuple[str, str]], ranges: list[tuple[int, int]], size: int) -> None:
    """`multipart/byteranges` with bare line feeds, as EOS sends it."""
    kind = headers.pop(0)[1]
    parts = [
        f"\n--{BOUNDARY}\nContent-Type: {kind}\nContent-Range: bytes {first}-{last}/{size}\n\n".encode()
        for first, last in ranges
    ]
    end = f"\n--{BOUNDARY}--\n".encode()
    total = sum(map(len, parts)) + sum(last - first + 1 for first, last in ranges) + len(end)
    headers += [
        ("Content-Type", f"multipart/byteranges; boundary={BOUNDARY}"),
        ("Content-Length", str(total)),
    ]
    download.connection.send(download.connection.head(206, headers))
    for part, (first, last) in zip(parts, ranges, strict=True):
        download.connection.send(part)
        for block in _blocks(download, first, last - first + 1):
            download.connection.send(block)
    download.connection.send(end)
