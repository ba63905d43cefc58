"""An EOS emulator and a gateway in front of it, for the load tests of the EOS plugin."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import trustme
from botocore.config import Config

KEYS = {"SHARDGATE_ACCESS_KEY": "loadtest", "SHARDGATE_SECRET_KEY": "loadtest-secret"}
PATIENCE = 60.0


class Emulator:
    """A running emulator's administration end. `status` is what it said when it was ready.

    `ca` is the file of the authority that its certificates are from, "" where it speaks no TLS.
    """

    def __init__(self, status: dict[str, Any], ca: str = "") -> None:
        self.status = status
        self.ca = ca
        self.root: str = status["instance"]

    def admin(self, method: str, path: str, document: Any = None) -> Any:
        """One request; its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.status["admin"], timeout=PATIENCE)
        try:
            connection.request(method, path, None if document is None else json.dumps(document))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {answer}")
        return answer

    def options(self, **changes: Any) -> dict[str, Any]:
        """The plugin's options for this emulator."""
        return {
            "grpc": [f"127.0.0.1:{port}" for port in self.status["grpc"]],
            "mgm": [f"{'https' if self.ca else 'http'}://127.0.0.1:{port}" for port in self.status["mgm"]],
            "authkey": "emulator",
            "state": f"{self.root}/s3",
            "root": f"{self.root}/buckets",
            "service": {"uid": 900, "gid": 900},
            "administrator": {"uid": 1000, "gid": 1000},
            "anonymous": {"uid": 1000, "gid": 1000},
            "tls": {"ca": self.ca} if self.ca else {"enabled": False},
            **({"http_tls": {"ca": self.ca}} if self.ca else {}),
            **changes,
        }


@contextmanager
def emulator(directory: Path, *options: str, mgms: int = 1, fsts: int = 2, tls: bool = False) -> Iterator[Emulator]:
    """An emulator on free ports, with the directories that the plugin needs; with `tls`, nobody speaks clear text."""
    command = [sys.executable, "-m", "backends.eos.emulator", "--data-dir", str(directory)]
    command += ["--grpc-port", "0", "--mgm-port", "0"] * mgms + ["--fst-port", "0"] * fsts + ["--admin-port", "0"]
    ca = ""
    if tls:
        ca, secured = _secured(directory.parent)
        command += secured
    with (directory.parent / "emulator.log").open("ab") as log:
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the emulator ended, see {log.name}")
        eos = Emulator(json.loads(line), ca)
        eos.admin("POST", "/directory", {"path": f"{eos.root}/s3", "uid": 900, "gid": 900, "mode": "700"})
        eos.admin("POST", "/directory", {"path": f"{eos.root}/buckets", "uid": 1000, "gid": 1000, "mode": "755"})
        yield eos
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _secured(directory: Path) -> tuple[str, list[str]]:
    """A new authority's file, and the options of an emulator with a certificate of its."""
    ca, certificate, key = (str(directory / f"{name}.pem") for name in ("authority", "certificate", "key"))
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(ca)
    Path(certificate).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return ca, ["--tls-cert", certificate, "--tls-key", key, "--quirk", "redirect_https=on"]


@contextmanager
def gateway(directory: Path, options: dict[str, Any], *arguments: str, workers: int = 2) -> Iterator[str]:
    """A gateway with these options of the plugin; its endpoint."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "eos.toml"
    file.write_text("".join(f"{name} = {_toml(value)}\n" for name, value in options.items()), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dispatcher.cli", "serve", str(directory / "data"), "--port", str(port)]
    command += ["--backend", "eos", "--backend-config", str(file), "--state-dir", str(directory / "state")]
    command += ["--workers", str(workers), "--log-level", "warning", *arguments]
    with (directory / "gateway.log").open("ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **KEYS}, stdout=subprocess.DEVNULL, stderr=log)
    try:
        _wait_ready(port, process, directory / "gateway.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the gateway is not ready:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def s3_client(endpoint: str, *, attempts: int = 1, seconds: float = 90.0, connections: int = 16) -> Any:
    """A client of the gateway's root account."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEYS["SHARDGATE_ACCESS_KEY"],
        aws_secret_access_key=KEYS["SHARDGATE_SECRET_KEY"],
        region_name="us-east-1",
        config=Config(
            retries={"total_max_attempts": attempts, "mode": "standard"},
            connect_timeout=10,
            read_timeout=seconds,
            max_pool_connections=connections,
            s3={"addressing_style": "path"},
        ),
    )
