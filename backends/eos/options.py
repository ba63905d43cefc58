"""The plugin's options and their validation: what the file of `--backend-config` may say."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Final, Literal

import msgspec

from backends.api import BackendConfig, ConfigurationError

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]

_TARGET: Final = re.compile(r"[^/\s:@]+:[0-9]{1,5}|\[[0-9A-Fa-f:]+\]:[0-9]{1,5}")
_URL: Final = re.compile(r"(https?)://([^/\s:@]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?/?")


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account of EOS; uid and gid 0 are refused. `name` is only needed with `remote_user = "name"`."""

    uid: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
    gid: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
    name: str = ""


class UserRoot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the new buckets of one account go: `path` may contain `{uid}` and `{user}`."""

    path: str
    uid: int | None = None
    user: str = ""


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files in PEM form; a client certificate needs its key.

    Attributes:
        enabled: gRPC by TLS. Off only for an MGM that is reached over a private network or the loopback.
        ca: what signs the servers' certificates; the system's authorities when empty.
        certificate, key: the gateway's own certificate, for servers that demand one.
        server_name: the name that the gRPC server's certificate bears, where it is not the one that is connected to.
    """

    enabled: bool = True
    ca: str = ""
    certificate: str = ""
    key: str = ""
    server_name: str = ""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file of `--backend-config` may say.

    Attributes:
        grpc: the MGMs' gRPC ends, `HOST:PORT`; the first one that serves is used, the others when it does not.
        mgm: the MGMs' HTTP ends, `https://HOST:PORT`, in the same order.
        authkey: the shared key; or `authkey_file`, a file that holds it. Never sent to an FST.
        service: the gateway's own account, which owns what lies below `state`; the key's own account is the best one.
        state: directory of the gateway's own state (registry of buckets, documents, locks). All gateways of one
            service share it; nobody else needs to enter it. Its parent must exist, or it itself.
        root: directory in which new buckets are made, `{uid}` and `{user}` allowed.
        user_roots: other roots for the new buckets of some accounts.
        anonymous: who acts for callers without an account in EOS: unsigned requests that a policy admits, accounts
            without uid and gid. Without it they are refused.
        administrator: who acts for the gateway's own root account, its janitor and its operators' commands (uid or gid
            0). Never root: EOS does not let a role be that. Without it they are refused.
        remote_user: how an account is named to the MGM's HTTP end: by `uid` (EOS 5.4 and later) or by `name`.
        clear_text_data: whether data may go to FSTs in clear text when the MGM, asked by https, sends there.
        tls: for gRPC; `http_tls` for the MGM's and the FSTs' HTTP ends.
        connect_timeout, call_timeout: seconds to connect, and for one call to the MGM.
        find_timeout: seconds for the reading of one directory.
        data_timeout: seconds that a transfer may stand still.
        close_timeout: seconds that an FST may take to answer after a whole body (it may compute a checksum).
        retries: how often a call that may safely be repeated is repeated.
        keepalive: seconds between signs of life on an idle gRPC connection.
        buffered: largest body in bytes that is held in memory, so that it can be sent again when an FST fails.
        connections: connections in the pool of one MGM or FST.
        lock_writes: writes and deletions without a precondition hold the lock of their key as well. Without it they
            cost two calls less, and one beside a conditional change of the same key may be lost or come back.
        lock_lease: seconds after which a lock whose holder went silent is taken over.
        cached_names: how many entries of listed directories a worker remembers (about 1 KiB each).
        listing_cache: seconds after which a remembered directory is read again although it is unchanged: so long a
            listing may show the former size of an object whose data somebody replaces in place.
        bucket_cache: seconds for which a worker takes the path of a bucket for granted.
        server_copy: how whole objects are copied: `auto` (the MGM's own commands, else streamed) or `stream`.
        server_copy_from: objects from this size in bytes on are copied by EOS; smaller ones are streamed.
        multipart: `offset` writes parts at their place in one file, `files` keeps each in a file of its own, `auto`
            decides by the bucket's layout.
        part_buffer: largest part in bytes that is held in memory; larger ones are spooled to `spool`.
        spool: directory for parts on their way; the system's temporary directory when empty.
        finalize: whether a completed upload is closed with a last write, which makes EOS compute its checksum.
        staging_layout: layout forced for files that parts are written into, such as `replica`; empty for the bucket's.
        verify_checksums: compare the FST's checksum of what it stored with ours.
        tokens: send data requests with a short-lived token of the user instead of the shared key.
        check_timeout: seconds after which an EOS that does not answer counts as unavailable.
    """

    grpc: tuple[str, ...]
    mgm: tuple[str, ...]
    state: str
    root: str
    service: Account
    authkey: str = ""
    authkey_file: str = ""
    user_roots: tuple[UserRoot, ...] = ()
    anonymous: Account | None = None
    administrator: Account | None = None
    remote_user: Literal["uid", "name"] = "uid"
    tls: Tls = Tls()
    http_tls: Tls = Tls()
    clear_text_data: bool = False
    connect_timeout: Positive = 3.0
    call_timeout: Positive = 10.0
    find_timeout: Positive = 120.0
    data_timeout: Positive = 60.0
    close_timeout: Positive = 300.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=20)] = 4
    keepalive: Positive = 30.0
    buffered: Annotated[int, msgspec.Meta(ge=0)] = 1 << 20
    connections: Count = 64
    lock_writes: bool = True
    lock_lease: Annotated[float, msgspec.Meta(ge=2)] = 20.0
    cached_names: Annotated[int, msgspec.Meta(ge=0)] = 250_000
    listing_cache: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    bucket_cache: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    server_copy: Literal["auto", "stream"] = "auto"
    server_copy_from: Annotated[int, msgspec.Meta(ge=0)] = 16 << 20
    multipart: Literal["auto", "offset", "files"] = "auto"
    part_buffer: Annotated[int, msgspec.Meta(ge=0)] = 8 << 20
    spool: str = ""
    finalize: bool = True
    staging_layout: str = ""
    verify_checksums: bool = True
    tokens: bool = False
    check_timeout: Positive = 5.0

    def __repr__(self) -> str:
        """Without the key, so that no log shows it."""
        return f"Options(grpc={self.grpc!r}, mgm={self.mgm!r}, state={self.state!r}, root={self.root!r})"


def options_of(config: BackendConfig) -> Options:
    """The options, checked; `authkey` is filled in from its file. Raises `ConfigurationError` with one line."""
    given: dict[str, Any] = {**config.options}
    for name in ("grpc", "mgm"):
        if isinstance(given.get(name), str):
            given[name] = [given[name]]
    try:
        options = msgspec.convert(given, Options)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"eos: {error}") from None
    _check_addresses(options)
    _check_paths(options)
    for name, tls in (("tls", options.tls), ("http_tls", options.http_tls)):
        if bool(tls.certificate) != bool(tls.key):
            raise ConfigurationError(f"eos: {name}: certificate and key need each other")
    return msgspec.structs.replace(options, authkey=_key(options))


def _check_addresses(options: Options) -> None:
    for name, values, form in (("grpc", options.grpc, _TARGET), ("mgm", options.mgm, _URL)):
        if not values:
            raise ConfigurationError(f"eos: {name}: at least one address is needed")
        for value in values:
            if not form.fullmatch(value):
                raise ConfigurationError(f"eos: {name}: {value!r} is no address such as {_EXAMPLES[name]}")


_EXAMPLES: Final = {"grpc": "mgm.example.org:50051", "mgm": "https://mgm.example.org:8443"}


def _check_paths(options: Options) -> None:
    roots = [("root", options.root), *(("user_roots", root.path) for root in options.user_roots)]
    for name, path in [("state", options.state), *roots]:
        parts = path.split("/")
        if not path.startswith("/") or len(parts) < 3 or any(part in ("", ".", "..") for part in parts[1:]):
            raise ConfigurationError(f"eos: {name}: {path!r} is no path such as /eos/instance/s3")
        if any(sign in path for sign in ("\0", "\r", "\n", "#AND#")):
            raise ConfigurationError(f"eos: {name}: {path!r} has characters that EOS refuses")
    for name, path in roots:
        if f"{path}/".startswith(f"{options.state}/"):
            raise ConfigurationError(f"eos: {name}: {path!r} lies in the state directory")
        try:
            path.format(uid=0, user="")
        except (KeyError, IndexError, ValueError):
            raise ConfigurationError(f"eos: {name}: {path!r} may only contain {{uid}} and {{user}}") from None
    for root in options.user_roots:
        if (root.uid is None) == (not root.user):
            raise ConfigurationError(f"eos: user_roots: {root.path!r} needs either uid or user")


def _key(options: Options) -> str:
    if bool(options.authkey) == bool(options.authkey_file):
        raise ConfigurationError("eos: authkey: give either authkey or authkey_file")
    if options.authkey:
        key = options.authkey
    else:
        try:
            with open(os.path.expanduser(options.authkey_file), encoding="utf-8") as file:
                key = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigurationError(f"eos: authkey_file: {options.authkey_file!r} cannot be read: {reason}") from None
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("eos: authkey: the key must be printable ASCII without blanks")
    return key
