"""PUT at an FST: bodies into replicas, commits at close, deletion of what broke off."""

import time
from dataclasses import dataclass, field
from typing import Final

from backends.eos.emulator import committing, layouts
from backends.eos.emulator.capabilities import Capability
from backends.eos.emulator.entries import SECOND, File
from backends.eos.emulator.failures import EosError
from backends.eos.emulator.faults import Call, Rule, throttle
from backends.eos.emulator.http_answers import HttpFailure, http_date
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.storage import BLOCK, Replica
from backends.eos.emulator.upload_ranges import UploadRange, planned
from backends.eos.emulator.wire import Body, Connection, Disconnected, Request
from backends.eos.emulator.writers import Writers

CLOSE_FAILED: Final = "File close failed"
WRITE_FAILED: Final = "Write error occured"
CHECKSUM_FAILED: Final = "checksum validation error"


@dataclass
class Upload:
    """One PUT under way."""

    instance: Instance
    writers: Writers
    fst: int
    capability: Capability
    request: Request
    call: Call
    range: UploadRange | None
    kind: str = ""
    checksum: layouts.Hasher | None = None
    altxs: dict[str, layouts.Hasher] = field(default_factory=dict)
    replicas: list[Replica] = field(default_factory=list)
    written: int = 0
    slow: Rule | None = None
    # Whether the answer is to be lost.
    unheard: bool = False

    @property
    def offset(self) -> int:
        """Where the body begins."""
        return self.range.offset if self.range is not None else 0

    @property
    def streamed(self) -> bool:
        """Whether the checksum can be computed while the data comes: a new file, written from its beginning."""
        return self.range is None and self.capability.access == "create"


def put(
    instance: Instance,
    writers: Writers,
    fst: int,
    connection: Connection,
    request: Request,
    capability: Capability,
    call: Call,
) -> None:
    """Take the body and answer. Raises `HttpFailure`, `Disconnected`, `FstCrash`."""
    upload = Upload(instance, writers, fst, capability, request, call, planned(request.headers))
    upload.kind = layouts.parsed(capability.layout).checksum
    upload.slow = instance.faults.take("fst_slow", call)
    if upload.slow is not None:
        time.sleep(upload.slow.parameters["latency"])
    if upload.streamed:
        upload.checksum = layouts.hasher(upload.kind)
        upload.altxs = {name: made for name in capability.altxs if (made := layouts.hasher(name)) is not None}
    try:
        upload.replicas = [instance.storage.open(fsid, capability.fid, write=True) for fsid in capability.fsids]
    except OSError as error:
        raise HttpFailure(500, f"open failed: {error.strerror}") from error
    writers.open(capability.fid)
    instance.counters.writing(capability.fid, 1)
    finished = False
    try:
        _receive(upload, connection)
        headers = _close(upload, connection)
        writers.closed(capability.fid)
        finished = True
    finally:
        instance.counters.writing(capability.fid, -1)
        for replica in upload.replicas:
            replica.close()
        if not finished:
            _delete_on_close(upload)
    if upload.unheard:
        connection.abort()
        raise Disconnected("no reply by order")
    connection.respond(201, headers)


def _receive(upload: Upload, connection: Connection) -> None:
    """Read the body into all replicas."""
    faults, call = upload.instance.faults, upload.call
    reset, full = faults.take("fst_reset", call), faults.take("fst_enospc", call)
    rate = upload.slow.parameters["write_rate"] if upload.slow is not None else 0
    if reset is not None and not reset.parameters["bytes"]:
        connection.abort()
        raise Disconnected("reset by order")
    body: Body = connection.body(upload.request)
    if connection.waits:
        connection.invite()
    started = time.monotonic()
    while data := body.read(BLOCK):
        if full is not None and upload.written + len(data) > full.parameters["bytes"]:
            raise HttpFailure(500, WRITE_FAILED)
        _write(upload, data)
        if reset is not None and upload.written >= reset.parameters["bytes"]:
            connection.abort()
            raise Disconnected("reset by order")
        if rate:
            throttle(started, upload.written, rate)
    announced = upload.request.length
    if upload.request.chunked and announced is not None and announced != upload.written:
        raise HttpFailure(500, "the body does not have the announced length")


def _write(upload: Upload, data: bytes) -> None:
    try:
        for replica in upload.replicas:
            replica.write(data, upload.offset + upload.written)
    except OSError as error:
        raise HttpFailure(500, WRITE_FAILED) from error
    if upload.checksum is not None:
        upload.checksum.update(data)
    for running in upload.altxs.values():
        running.update(data)
    upload.written += len(data)
    upload.instance.counters.add(f"fst.{upload.fst}.bytes_in", len(data))


def _close(upload: Upload, connection: Connection) -> list[tuple[str, str]]:
    """Check, commit, and make the answer's headers. Raises `HttpFailure`, `Disconnected`."""
    instance, faults, call = upload.instance, upload.instance.faults, upload.call
    capability = upload.capability
    if upload.slow is not None:
        time.sleep(upload.slow.parameters["close"])
    unheard = faults.take("fst_no_reply", call)
    upload.unheard = unheard is not None
    if unheard is not None and not unheard.parameters["commit"]:
        connection.abort()
        raise Disconnected("no reply by order")
    if faults.take("close_error", call) is not None:
        raise HttpFailure(500, CLOSE_FAILED)
    size = upload.replicas[0].size()
    if capability.access == "create":
        _check_size(capability, size)
    last = upload.range is None or upload.range.last
    if last and upload.range is not None and faults.take("enospc_on_last", call) is not None:
        raise HttpFailure(500, CLOSE_FAILED)
    digest, altxs = _checksums(upload) if last else (None, {})
    compared = last and _check_checksum(upload, digest)
    if faults.take("bad_checksum", call) is not None:
        raise HttpFailure(412, CHECKSUM_FAILED)
    empty = not upload.written and not size
    if empty and not capability.atomic:
        # Nothing was written, so there is nothing to commit: the entry stays as the open left it.
        etag = layouts.etag_of(
            capability.fid << 28, upload.kind, layouts.empty_checksum(upload.kind).hex(), capability.ctime
        )
        return [("ETag", etag), *_mtime_headers(upload, None)]
    committed_digest = layouts.committed(digest) if digest is not None and not empty else None
    written = committing.Written(capability.fsids, size, _mtime(upload), committed_digest, altxs if not empty else {})
    for replica in upload.replicas:
        replica.sync()
    try:
        file = committing.commit(instance, capability, written)
    except EosError as error:
        raise HttpFailure(500, CLOSE_FAILED) from error
    return _reply(upload, file, last=last, compared=compared)


def _check_size(capability: Capability, size: int) -> None:
    if capability.target and size != capability.target:
        raise HttpFailure(500, CLOSE_FAILED)
    if size < capability.min_size or (capability.max_size and size > capability.max_size):
        raise HttpFailure(500, CLOSE_FAILED)


def _checksums(upload: Upload) -> tuple[bytes, dict[str, str]]:
    """The checksums of what is stored now: known from the stream, or read again from the replica."""
    checksum, altxs = upload.checksum, upload.altxs
    if not upload.streamed:
        checksum = layouts.hasher(upload.kind)
        altxs = {name: made for name in upload.capability.altxs if (made := layouts.hasher(name)) is not None}
        rate = upload.slow.parameters["read_rate"] if upload.slow is not None else 0
        started, done = time.monotonic(), 0
        for block in upload.replicas[0].blocks():
            for running in (checksum, *altxs.values()):
                if running is not None:
                    running.update(block)
            done += len(block)
            if rate:
                throttle(started, done, rate)
    digest = checksum.digest() if checksum is not None else b""
    return digest, {name: running.digest().hex() for name, running in altxs.items()}


def _check_checksum(upload: Upload, digest: bytes | None) -> bool:
    """Compare with what the client or the MGM's query announced; tells whether anything was. Raises `HttpFailure`."""
    headers = upload.request.headers
    # Leading zeros are stripped from the stored value only.
    stored = (digest or b"").hex().lstrip("0")
    compared = False
    if upload.capability.checksum:
        compared = True
        if upload.capability.checksum.lstrip("0") != stored:
            raise HttpFailure(412, CHECKSUM_FAILED)
    for name in ("oc-checksum", "x-upload-checksum"):
        kind, _, value = headers.get(name, "").partition(":")
        if kind.strip().lower() == upload.kind:
            compared = True
            if value.strip().lower() != stored:
                raise HttpFailure(412, CHECKSUM_FAILED)
    return compared


def _forced_mtime(upload: Upload) -> int | None:
    headers = upload.request.headers
    text = headers.get("x-upload-mtime", "") or headers.get("x-oc-mtime", "")
    seconds, _, _ = text.partition(".")
    return int(seconds) * SECOND if seconds.isdigit() else None


def _mtime(upload: Upload) -> int:
    forced = _forced_mtime(upload)
    if forced is not None:
        return forced
    return upload.capability.mtime or upload.replicas[0].modified()


def _mtime_headers(upload: Upload, file: File | None) -> list[tuple[str, str]]:
    if _forced_mtime(upload) is None:
        return []
    number = file.inode if file is not None else upload.capability.fid << 28
    return [("X-OC-Mtime", "accepted"), ("OC-FileId", str(number))]


def _reply(upload: Upload, file: File, *, last: bool, compared: bool) -> list[tuple[str, str]]:
    if upload.range is None:
        return [("ETag", layouts.file_etag(file)), *_mtime_headers(upload, file)]
    forced = _forced_mtime(upload) is not None
    if not last:
        return [] if forced else [("ETag", upload.capability.etag)]
    headers = [("ETag", layouts.file_etag(file))]
    if forced:
        headers += [("Last-Modified", http_date(file.mtime)), ("x-eos-inode", str(file.inode))]
        if compared:
            headers.append(("x-eos-checksum", layouts.checksum_hex(file)))
    return headers


def _delete_on_close(upload: Upload) -> None:
    """An upload ended without a proper close: what it wrote to goes, unless somebody else has the file open."""
    instance, capability = upload.instance, upload.capability
    alone = upload.writers.failed(capability.fid)
    exempt = upload.range is not None and instance.quirks.delete_on_close == "not-ranges"
    if not alone or exempt:
        instance.counters.add("fst.deletes_suppressed")
        return
    instance.counters.add("fst.deletes_on_close")
    if capability.access == "create":
        committing.drop(instance, capability)
    else:
        committing.drop(instance, capability, capability.fsids[0])
