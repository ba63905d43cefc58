"""The EOS plugin in front of a running emulator.

prepare(eos)                                  # makes the directories that OPTIONS name
options_for(eos, **changes)                   # what --backend-config says
config_file(eos, path, **changes)             # the same as a file, for a gateway; returns the path
with opened(eos, **changes) as backend: ...   # the plugin, opened
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backends.api import BackendConfig, Caller, ObjectRecord
from backends.eos.backend import EosBackend
from tests.support.eos import Emulator

ALICE = Caller(account_id="alice-id", user_name="alice", uid=1000, gid=1000)
BOB = Caller(account_id="bob-id", user_name="bob", uid=1001, gid=1001)
ROOT = Caller(account_id="root-id", user_name="root", uid=0, gid=0)
NOBODY = Caller(account_id="", user_name="anonymous")


def prepare(eos: Emulator) -> None:
    """The directories that an administrator of EOS makes for a gateway."""
    eos.directory_at(f"{eos.root}/s3", uid=900, gid=900, mode="700")
    eos.directory_at(f"{eos.root}/buckets", uid=1000, gid=1000, mode="755")


def options_for(eos: Emulator, **changes: Any) -> dict[str, Any]:
    """Options as in a configuration file."""
    return {
        "grpc": eos.grpc_targets,
        "mgm": eos.mgm_urls,
        "authkey": eos.key,
        "state": f"{eos.root}/s3",
        "root": f"{eos.root}/buckets",
        "service": {"uid": 900, "gid": 900},
        "administrator": {"uid": 1000, "gid": 1000},
        "tls": {"enabled": False},
        "lock_lease": 2.0,
        "bucket_cache": 0.2,
        **changes,
    }


def config_file(eos: Emulator, path: Path, **changes: Any) -> Path:
    """The options as a TOML file."""
    lines = [f"{name} = {_toml(value)}" for name, value in options_for(eos, **changes).items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


@contextmanager
def opened(eos: Emulator, **changes: Any) -> Iterator[EosBackend]:
    """The plugin with these options, opened."""
    backend = EosBackend(BackendConfig(options=options_for(eos, **changes)))
    backend.open()
    try:
        yield backend
    finally:
        backend.close()


class Body:
    """A source of `data`; `hook` is called before its last block is given."""

    def __init__(self, data: bytes, hook: Any = None, **fields: Any) -> None:
        self.length: int | None = len(data)
        self._data = data
        self._hook = hook
        self._fields = fields

    def read(self, size: int, /) -> bytes:
        block, self._data = self._data[:size], self._data[size:]
        if self._hook is not None and not self._data:
            hook, self._hook = self._hook, None
            hook()
        return block

    def record(self) -> ObjectRecord:
        return ObjectRecord(size=self.length or 0, etag=self._fields.pop("etag", "e" * 32), **self._fields)
