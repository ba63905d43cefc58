"""Gateways in front of storage other than the one that the client tests have by default.

`pytest tests/clients --backend eos` runs all of them against a gateway before an EOS emulator of its own;
`--backend NAME [--backend-config FILE]` before any other plugin. Both options are the testkit's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.clients.endpoint import Endpoint
from tests.support.eos import Emulator
from tests.support.eos_plugin import config_file, prepare
from tests.support.gateway import Gateway


@contextmanager
def endpoint_on(home: Path, backend: str, config: str | None) -> Iterator[Endpoint]:
    """A gateway on *backend*; without *config*, `eos` is an emulator that goes with it."""
    if backend == "eos" and config is None:
        with endpoint_on_emulator(home) as endpoint:
            yield endpoint
        return
    options = ("--backend", backend, *(("--backend-config", config) if config is not None else ()))
    with Gateway(home / "data", *options) as gateway:
        yield _endpoint(gateway)


@contextmanager
def endpoint_on_emulator(home: Path) -> Iterator[Endpoint]:
    """A gateway in front of an EOS emulator with two replicas of each file.

    Raises `AssertionError` at the end when a worker wrote a trace or an FST was sent what only an MGM may see.
    """
    with Emulator(home / "eos", "--layout", "replica:2:adler32") as eos:
        prepare(eos)
        # Users of the root account have no numbers in the storage: here they act as the owner of the buckets.
        config = config_file(eos, home / "eos.toml", anonymous={"uid": 1000, "gid": 1000})
        options = ("--backend", "eos", "--backend-config", str(config))
        with Gateway(home / "data", *options) as gateway:
            yield _endpoint(gateway)
            assert "Traceback" not in gateway.log.read_text(encoding="utf-8")
        counters = eos.counters()
        assert not any(counters.get(f"fst.leaked_{what}") for what in ("keys", "tokens", "identities")), counters


def _endpoint(gateway: Gateway) -> Endpoint:
    return Endpoint(gateway.endpoint, gateway.access_key, gateway.secret_key, gateway.region)
