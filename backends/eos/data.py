"""The data half of the plugin: transfers by HTTP, and commands that only HTTP has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from backends.api import ConfigurationError, StorageUnavailable
from backends.eos.asking import Asked
from backends.eos.connection import Address, Broken, CertificateRefused, NotTrusted
from backends.eos.interfaces import CloseFailed, Entry, Role, Unanswered
from backends.eos.mgm import Credentials, KeyCredentials, Mgm, Retry, parsed_address
from backends.eos.options import Options, Tls
from backends.eos.pool import Pool
from backends.eos.reading import FileDownload, Reader
from backends.eos.tls import context_of
from backends.eos.writing import FileWriting, Writer

_PATIENCE = 25.0
"""Seconds within which a transfer that did not begin is tried again. Clients give up after 60."""


class WrongFile(StorageUnavailable):
    """Another file than the one that is meant has its path by now, or none."""


class RangeBroken(StorageUnavailable):
    """A range PUT ended in the middle, or without an answer: a replica of its file, or all of it, may be gone."""


class HttpData:
    """One worker's connections to the MGMs and the FSTs (`interfaces.DataClient`).

    `credentials` replaces the shared key, where data requests are to bear users' tokens.
    """

    def __init__(self, options: Options, credentials: Credentials | None = None) -> None:
        self._options = options
        self._addresses: Sequence[Address] = [parsed_address(url)[0] for url in options.mgm]
        self._context = context_of(options.http_tls, "http_tls") if _secure(options) else None
        self._key = KeyCredentials(options.authkey, numeric=options.remote_user == "uid")
        self._credentials = credentials or self._key
        self._pools: list[Pool] = []

    def open(self) -> None:
        """See `interfaces.DataClient`."""
        options = self._options
        retry = Retry(options.retries + 1, _PATIENCE)
        mgm_pool = Pool(
            self._context,
            connect=options.connect_timeout,
            seconds=max(options.call_timeout, options.data_timeout),
            limit=options.connections,
        )
        fst_pool = Pool(
            self._context, connect=options.connect_timeout, seconds=options.data_timeout, limit=options.connections
        )
        self._pools = [mgm_pool, fst_pool]
        self._mgm = Mgm(
            self._addresses, mgm_pool, self._credentials, retry, self._key, clear_text=options.clear_text_data
        )
        self._reader = Reader(self._mgm, fst_pool, retry, verify=options.verify_checksums)
        self._writer = Writer(self._mgm, fst_pool, retry, close_timeout=options.close_timeout)

    def check_tls(self) -> None:
        """See that an MGM and we trust each other. Raises `ConfigurationError`; one that is away is no concern here.

        Who acts does not matter for that, so no key is sent, and any answer will do.
        """
        for address in self._addresses:
            if not address.secure:
                continue
            try:
                self._greet(address)
                return
            except (NotTrusted, CertificateRefused) as error:
                raise ConfigurationError(f"eos: http_tls: {error}") from None
            except StorageUnavailable:
                continue

    def _greet(self, address: Address) -> None:
        """Any answer of a server. Raises `StorageUnavailable`, and its TLS kinds `NotTrusted`, `CertificateRefused`."""
        options, pool = self._options, self._pools[0]
        connection = pool.fresh(address)
        try:
            connection.begin("HEAD", "/", ())
            connection.answer(options.call_timeout)
        except CertificateRefused:
            raise
        except Broken:
            # The reset of a server that left our bytes unread overtakes its reason: who sends nothing is told it.
            connection.close()
            connection = pool.fresh(address)
            connection.answer(options.connect_timeout)
        finally:
            connection.close()

    def close(self) -> None:
        """See `interfaces.DataClient`."""
        for pool in self._pools:
            pool.close()

    def ask(self, role: Role, path: str) -> Asked:
        """Ask where a file is to be read from, for an `open_read` that comes when it was looked up."""
        return Asked(self._mgm, role, path)

    def open_read(self, role: Role, entry: Entry, *, moving: bool = False, asked: Asked | None = None) -> FileDownload:
        """See `interfaces.DataClient`. `moving`: the file may be written to meanwhile, so that only its id counts."""
        return self._reader.open(role, entry, moving=moving, asked=asked)

    def begin_write(
        self, role: Role, path: str, *, length: int | None, attributes: Mapping[str, str] | None = None
    ) -> FileWriting:
        """See `interfaces.DataClient`."""
        query = {"eos.atomic": "1"}
        if attributes:
            query["eos.xattr"] = "#".join(f"{name}={value}" for name, value in attributes.items())
        return self._writer.begin(role, path, length, query)

    def begin_new(self, role: Role, path: str, *, length: int | None) -> FileWriting:
        """Begin a file under a name that nobody else uses. It is there at once; given up, it goes by itself."""
        return self._writer.begin(role, path, length, {})

    def create_empty(self, role: Role, path: str, layout: str = "") -> int:
        """Make an empty file that parts are written into, with its places on disks; returns its id.

        A zero-length PUT, as section 4.6 of the protocol notes asks for: a file that gRPC's touch makes has no layout.
        """
        writing = self._writer.begin(role, path, 0, {"eos.layout.type": layout} if layout else {})
        return writing.finish().fid

    def write_range(
        self,
        role: Role,
        path: str,
        blocks: Iterable[bytes | memoryview],
        size: int,
        offset: int,
        total: int,
        fid: int,
        *,
        last: bool = False,
    ) -> None:
        """Write `size` bytes into the file of this id at `offset`, and wait for the FST to have committed them.

        An interrupted range PUT may delete the whole file (where nobody else has it open), so that the bytes must all
        be here before this is called; what broke off raises `RangeBroken`. With `last` the FST reads the whole file to
        compute its checksum. Without its file a range PUT makes a new one: then nothing is written, and `WrongFile`
        raised.
        """
        headers = [
            ("x-upload-range", f"bytes={offset}-{offset + size - 1}"),
            ("x-upload-totalsize", str(total)),
            ("x-upload-done", "true" if last else "false"),
        ]
        writing = self._writer.begin(role, path, size, {}, headers)
        try:
            if writing.fid not in (0, fid):
                raise WrongFile(f"{path} is file {writing.fid} and was {fid}")
            for block in blocks:
                writing.write(block)
            writing.finish()
        except WrongFile:
            raise
        except (StorageUnavailable, CloseFailed, Unanswered) as error:
            raise RangeBroken(str(error)) from None
        finally:
            writing.abort()

    def run(self, role: Role, command: Mapping[str, str]) -> tuple[int, str]:
        """See `interfaces.DataClient`."""
        return self._mgm.command(role, command)


def _secure(options: Options) -> bool:
    return any(url.startswith("https://") for url in options.mgm) or options.http_tls != Tls()
