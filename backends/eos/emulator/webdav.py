"""MKCOL, MOVE and PROPFIND at the MGM."""

import errno
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit
from xml.etree import ElementTree

from backends.eos.emulator import directories, layouts, paths, removal, renaming
from backends.eos.emulator.entries import Container, Entry
from backends.eos.emulator.failures import EosError, NotFound, unable_file
from backends.eos.emulator.http_answers import HttpFailure, escaped, http_date
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.permissions import BROWSE, READ
from backends.eos.emulator.wire import Connection, Request

_MAX_DESTINATION = 1024


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request."""

    instance: Instance
    connection: Connection
    request: Request
    path: bytes
    who: Identity


def mkcol(exchange: Exchange) -> None:
    """Make a directory, but none above it."""
    if exchange.request.length or exchange.request.chunked:
        raise HttpFailure(415, "MKCOL takes no body")
    namespace = exchange.instance.namespace
    with namespace.transaction():
        try:
            if namespace.lookup(exchange.path) is not None:
                raise HttpFailure(405, "the name exists already")
            parent = namespace.directory(paths.split(exchange.path)[0])
        except NotFound as error:
            raise HttpFailure(409, "the parent does not exist") from error
        directories.mkdir(exchange.instance, exchange.who, exchange.path, parent.mode & 0o7777, recursive=False)
    exchange.connection.respond(201)


def move(exchange: Exchange) -> None:
    """Rename; what is in place goes first, unless `Overwrite: F`."""
    instance, destination = exchange.instance, exchange.request.headers.get("destination", "")
    if not destination or len(destination) >= _MAX_DESTINATION:
        raise HttpFailure(400, "a MOVE needs a Destination of less than 1024 characters")
    target = paths.normalised(unquote_to_bytes(urlsplit(destination).path))
    overwrite = exchange.request.headers.get("overwrite", "T").upper() != "F"
    with instance.namespace.transaction():
        in_place = instance.namespace.lookup(target)
        if in_place is not None and not overwrite:
            raise HttpFailure(412, "the destination exists")
        if in_place is not None:
            # The deletion is a command put together as text, in which a `&` ends the path.
            _remove(exchange, target.partition(b"&")[0])
        try:
            renaming.rename(instance, exchange.who, exchange.path, target)
        except EosError as error:
            raise HttpFailure(409 if error.code == errno.ENOENT else 403, error.text) from error
    headers = [] if in_place is not None else [("Location", destination)]
    exchange.connection.respond(204 if in_place is not None else 201, headers)


def _remove(exchange: Exchange, target: bytes) -> None:
    try:
        removal.rm(exchange.instance, exchange.who, target, recursive=True)
    except EosError as error:
        raise HttpFailure(403 if error.code in (errno.EPERM, errno.EACCES) else 409, error.text) from error


def propfind(exchange: Exchange) -> None:
    """Properties of an entry and, with `Depth: 1`, of what is in it; hidden entries are left out."""
    depth = exchange.request.headers.get("depth", "1")
    if depth not in ("0", "1"):
        raise HttpFailure(501, "only depths 0 and 1 are supported")
    instance, namespace = exchange.instance, exchange.instance.namespace
    with namespace.transaction():
        try:
            entry = namespace.find(exchange.path)
        except EosError as error:
            raise unable_file("stat", error.code, exchange.path) from error
        directory = instance.access.directory_of(entry)
        bits = READ | BROWSE if isinstance(entry, Container) and depth == "1" else BROWSE
        if not instance.access.looks(exchange.who, directory, bits, exchange.path):
            raise unable_file("stat", errno.EACCES, exchange.path)
        entries: list[Entry] = [entry]
        if depth == "1" and isinstance(entry, Container):
            entries += namespace.files_of(entry)
            entries += namespace.directories_of(entry)
        root = ElementTree.Element("{DAV:}multistatus")
        for one in entries:
            if not paths.is_hidden(one.name):
                root.append(_response(instance, one))
    body = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    exchange.connection.respond(207, [("Content-Type", "application/xml; charset=utf-8")], body)


def _response(instance: Instance, entry: Entry) -> ElementTree.Element:
    response = ElementTree.Element("{DAV:}response")
    ElementTree.SubElement(response, "{DAV:}href").text = escaped(instance.namespace.path(entry))
    propstat = ElementTree.SubElement(response, "{DAV:}propstat")
    properties = ElementTree.SubElement(propstat, "{DAV:}prop")
    kind = ElementTree.SubElement(properties, "{DAV:}resourcetype")
    values = {"getlastmodified": http_date(entry.mtime)}
    if isinstance(entry, Container):
        ElementTree.SubElement(kind, "{DAV:}collection")
        values["getetag"] = layouts.container_etag(entry)
    else:
        values |= {"getcontentlength": str(entry.size), "getetag": layouts.file_etag(entry)}
    for name, value in values.items():
        ElementTree.SubElement(properties, f"{{DAV:}}{name}").text = value
    ElementTree.SubElement(propstat, "{DAV:}status").text = "HTTP/1.1 200 OK"
    return response
