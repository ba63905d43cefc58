"""What is known of uploads: attributes below the gateway's state directory, so that it outlives every gateway.

    STATE/uploads/BUCKET/ID/        a directory; its attributes are of the upload as a whole:
        user.upload                 its record; the upload exists while this does
        user.home                   where its data lie, who began it, how parts are stored
        user.lane.P                 the lane for parts of P bytes: its file and the file's id
        user.closed.FILE            no part may be written into this lane any more: it is becoming the object
        user.weak.FILE              nothing is written into this lane any more: a range broke off, one replica is left
        user.completed              which file becomes the object of which record, noted before it does
        user.published              that file, once it has
    STATE/uploads/BUCKET/ID/NN      empty files; the attributes of each are of the parts with a number = NN modulo 64:
        user.file.FILE              a file of data that was, or is about to be, made
        user.claim.FILE.NUMBER      the place of a part in a lane
        user.part.NUMBER.FILE       the record of a part that is stored

Attributes of one file are written together, so that one file for all parts would make each part dearer than the one
before it: 10,000 of them are spread over 64 files. The data are beside the object to be: the files that a client can
write there are the files that it can write parts into, in the object's own layout and quota.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from backends.api import NoSuchUpload, ObjectRecord, PartRecord, StorageUnavailable, UploadRecord
from backends.eos.failures import Missing, NoAttribute
from backends.eos.interfaces import Entry, Role
from backends.eos.namespace import Namespace
from backends.eos.upload_places import Claim, Lane
from backends.records import RecordError, decode_part, decode_upload, encode

UPLOAD: Final = "user.upload"
HOME: Final = "user.home"
LANE: Final = "user.lane."
CLOSED: Final = "user.closed."
WEAK: Final = "user.weak."
COMPLETED: Final = "user.completed"
PUBLISHED: Final = "user.published"
FILE: Final = "user.file."
CLAIM: Final = "user.claim."
PART: Final = "user.part."
HIDDEN: Final = ".sys.shardgate."
"""Names that begin with this are no objects (`layout.RESERVED`)."""
_SHARDS: Final = 64
_DONE: Final = b"+"


class Home(msgspec.Struct, frozen=True):
    """`directory` holds the data; `role` began the upload; `ranges` tells whether parts are written into lanes."""

    directory: str
    role: Role
    ranges: bool


class Completed(msgspec.Struct, frozen=True):
    """`file`, whose id is `fid`, is becoming, or has become, the object of `record`."""

    file: str
    fid: int
    record: ObjectRecord


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of an upload; `upload` is None for one that is being removed.

    `parts` are in the order of their storing. `files` are all files of data but the lanes.
    """

    id: str
    upload: UploadRecord | None
    home: Home
    lanes: tuple[Lane, ...]
    closed: frozenset[str]
    weak: frozenset[str]
    completed: Completed | None
    published: str = ""
    parts: tuple[PartRecord, ...] = ()
    files: frozenset[str] = frozenset()

    def path(self, file: str) -> str:
        """The path of a file of data."""
        return f"{self.home.directory}/{HIDDEN}{self.id}.{file}"

    def lane(self, file: str) -> Lane | None:
        """The lane that this file is."""
        return next((lane for lane in self.lanes if lane.file == file), None)


class States:
    """The uploads below one state directory, all as the gateway's own account."""

    def __init__(self, namespace: Namespace, service: Role, state: str) -> None:
        self._namespace: Final = namespace
        self._service: Final = service
        self._state: Final = state
        self.directory: Final = f"{state}/uploads"

    def _path(self, bucket: str, upload_id: str) -> str:
        if not upload_id.isalnum():
            raise NoSuchUpload
        return f"{self.directory}/{bucket}/{upload_id}"

    def create(self, bucket: str, upload: UploadRecord, home: Home) -> None:
        """Begin an upload: it exists with its record."""
        path = self._path(bucket, upload.id)
        self._namespace.make_directories(self._service, path, below=self._state)
        values = {HOME: msgspec.json.encode(home), UPLOAD: encode(upload)}
        self._namespace.set_attributes(self._service, path, values)

    def head(self, bucket: str, upload_id: str) -> State:
        """An upload without its parts. Raises `NoSuchUpload`."""
        entry = self._namespace.stat(self._service, self._path(bucket, upload_id))
        if entry is None or UPLOAD not in entry.attributes:
            raise NoSuchUpload
        return _state_of(upload_id, entry, ())

    def whole(self, bucket: str, upload_id: str, *, removed: bool = False) -> State:
        """All of an upload; with `removed` also of one that is being removed. Raises `NoSuchUpload`."""
        path = self._path(bucket, upload_id)
        entry = self._namespace.stat(self._service, path)
        if entry is None or HOME not in entry.attributes or (UPLOAD not in entry.attributes and not removed):
            raise NoSuchUpload
        try:
            return _state_of(upload_id, entry, self._namespace.find(self._service, path))
        except Missing:
            raise NoSuchUpload from None

    def uploads(self, bucket: str) -> list[UploadRecord]:
        """The records of a bucket's uploads."""
        return [
            _decoded(decode_upload, entry.attributes[UPLOAD])
            for entry in self.entries(bucket)
            if UPLOAD in entry.attributes
        ]

    def entries(self, bucket: str = "") -> list[Entry]:
        """The directories of a bucket's uploads, or those of all buckets."""
        try:
            found = self._namespace.find(self._service, f"{self.directory}/{bucket}" if bucket else self.directory)
        except Missing:
            return []
        return [entry for entry in found if entry.directory]

    # changing

    def set(
        self,
        bucket: str,
        upload_id: str,
        values: Mapping[str, bytes] | None = None,
        remove: Iterable[str] = (),
        *,
        create: bool = False,
    ) -> None:
        """Change attributes of the upload as a whole. Raises `NoSuchUpload`, `Exists` with `create`."""
        self._change(self._path(bucket, upload_id), values or {}, remove, create=create)

    def set_part(
        self,
        bucket: str,
        upload_id: str,
        number: int,
        values: Mapping[str, bytes] | None = None,
        remove: Iterable[str] = (),
        *,
        create: bool = False,
    ) -> None:
        """Change attributes of a part number. Raises like `set`."""
        path = f"{self._path(bucket, upload_id)}/{number % _SHARDS:02d}"
        try:
            self._namespace.set_attributes(self._service, path, values or {}, tuple(remove), create=create)
            return
        except NoAttribute:
            return
        except Missing:
            if not values:
                return
        try:
            self._namespace.touch(self._service, path)
        except Missing:
            raise NoSuchUpload from None
        self._change(path, values, remove, create=create)

    def _change(self, path: str, values: Mapping[str, bytes], remove: Iterable[str], *, create: bool) -> None:
        try:
            self._namespace.set_attributes(self._service, path, values, tuple(remove), create=create)
        except NoAttribute:
            pass
        except Missing:
            raise NoSuchUpload from None

    def remove(self, bucket: str, upload_id: str) -> None:
        """Remove what is known of an upload, at last."""
        path = self._path(bucket, upload_id)
        try:
            for entry in self._namespace.find(self._service, path):
                self._namespace.unlink(self._service, entry.path)
        except Missing:
            return
        self._namespace.remove_directory(self._service, path)
        self._namespace.remove_directory(self._service, f"{self.directory}/{bucket}")


def part_values(part: PartRecord, file: str) -> dict[str, bytes]:
    """The attribute of a part that is stored."""
    return {f"{PART}{part.number}.{file}": encode(part)}


def claim_value(claim: Claim, file: str) -> dict[str, bytes]:
    """The attribute of a claim."""
    return {f"{CLAIM}{file}.{claim.number}": b"%d" % claim.length + (_DONE if claim.done else b"")}


def _state_of(upload_id: str, entry: Entry, below: Iterable[Entry]) -> State:
    attributes = entry.attributes
    claims: dict[str, list[Claim]] = {}
    parts: list[PartRecord] = []
    files: set[str] = set()
    for shard in below:
        for name, value in shard.attributes.items():
            if name.startswith(PART):
                parts.append(_decoded(decode_part, value))
            elif name.startswith(CLAIM):
                file, _, number = name.removeprefix(CLAIM).partition(".")
                claims.setdefault(file, []).append(
                    Claim(int(number), int(value.removesuffix(_DONE)), value.endswith(_DONE))
                )
            elif name.startswith(FILE):
                files.add(name.removeprefix(FILE))
    lanes = []
    for name, value in attributes.items():
        if name.startswith(LANE):
            file, _, fid = value.decode("ascii").partition(".")
            lanes.append(Lane(int(name.removeprefix(LANE)), file, int(fid), tuple(claims.get(file, ()))))
    known = {lane.file for lane in lanes} | files
    return State(
        id=upload_id,
        upload=_decoded(decode_upload, attributes[UPLOAD]) if UPLOAD in attributes else None,
        home=_decoded(msgspec.json.Decoder(Home).decode, attributes[HOME]),
        lanes=tuple(sorted(lanes)),
        closed=frozenset(name.removeprefix(CLOSED) for name in attributes if name.startswith(CLOSED)),
        weak=frozenset(name.removeprefix(WEAK) for name in attributes if name.startswith(WEAK)),
        completed=_decoded(msgspec.json.Decoder(Completed).decode, attributes[COMPLETED])
        if COMPLETED in attributes
        else None,
        published=attributes.get(PUBLISHED, b"").decode("ascii", "replace"),
        # A part in a lane that was lost is lost with it.
        parts=tuple(
            sorted((part for part in parts if part.place.split(":")[1] in known), key=lambda part: part.modified)
        ),
        files=frozenset(files),
    )


def _decoded(decode: Any, value: bytes) -> Any:
    try:
        return decode(value)
    except (RecordError, msgspec.DecodeError) as error:
        raise StorageUnavailable(f"damaged state of an upload: {error}") from None
