"""The command: options, the line that says that the emulator is ready, signals."""

import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from backends.eos.emulator.identity import default_directory, read_directory
from backends.eos.emulator.layouts import CHECKSUM_TYPES, LAYOUT_TYPES, Layout
from backends.eos.emulator.quirks import RELEASES, of_release
from backends.eos.emulator.server import Emulator, Options, Tls

EXIT_USAGE = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--grpc-port",
    "grpc_ports",
    multiple=True,
    type=int,
    default=(50051,),
    show_default=True,
    help="gRPC port; 0 takes a free one. Several times for several MGMs, of which the first is the master.",
)
@click.option(
    "--mgm-port",
    "mgm_ports",
    multiple=True,
    type=int,
    default=(8000,),
    show_default=True,
    help="HTTP port of an MGM, one for each gRPC port.",
)
@click.option(
    "--fst-port",
    "fst_ports",
    multiple=True,
    type=int,
    default=(8001, 8002),
    show_default=True,
    help="HTTP port of an FST, one for each FST.",
)
@click.option("--admin-port", type=int, default=8010, show_default=True, help="HTTP port that injects faults.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where everything is kept. Default: a temporary one.")
@click.option("--authkey", help="Shared key of the gateway's account. Default: emulator, unless --users has keys.")
@click.option("--authkey-file", type=click.Path(path_type=Path, exists=True), help="File with the shared key.")
@click.option("--users", type=click.Path(path_type=Path, exists=True), help="TOML file with accounts, keys, sudoers.")
@click.option("--faults", type=click.Path(path_type=Path, exists=True), help="JSON file with faults.")
@click.option("--instance", default="dev", show_default=True, help="Name of the instance: the tree is /eos/NAME.")
@click.option(
    "--release",
    type=click.Choice(sorted(RELEASES)),
    default="5.4",
    show_default=True,
    help="Whose switches to begin with.",
)
@click.option("--quirk", "quirks", multiple=True, metavar="NAME=VALUE", help="Set one switch.")
@click.option(
    "--layout",
    default="plain",
    show_default=True,
    metavar="TYPE[:STRIPES[:CHECKSUM]]",
    help="Default layout, such as replica:2:adler32.",
)
@click.option("--altxs", default="md5", show_default=True, help="sys.altxs of the instance's tree.")
@click.option("--filesystems", type=click.IntRange(1), default=2, show_default=True, help="Filesystems on each FST.")
@click.option("--seed", type=int, default=0, show_default=True, help="Order of listings, chance of faults.")
@click.option("--durable", is_flag=True, help="Bring everything to disk before it is acknowledged.")
@click.option("--tls-cert", type=click.Path(path_type=Path, exists=True), help="Certificate: gRPC and HTTP by TLS.")
@click.option("--tls-key", type=click.Path(path_type=Path, exists=True), help="Its key.")
@click.option("--tls-ca", type=click.Path(path_type=Path, exists=True), help="Demand client certificates for gRPC.")
@click.option(
    "--tls-http-ca", type=click.Path(path_type=Path, exists=True), help="Demand client certificates for HTTP."
)
def main(**given: Any) -> None:
    """Run an emulator of EOS: an MGM by gRPC and HTTP, FSTs, and an end for faults.

    Prints one JSON line with all ports when it is ready, and runs until SIGTERM or SIGINT.
    """
    try:
        emulator = Emulator(_options(given))
        emulator.start()
    except (ValueError, OSError, RuntimeError) as error:
        click.echo(f"eos-emulator: {error}", err=True)
        sys.exit(EXIT_USAGE)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    click.echo(json.dumps({"ready": True, **emulator.status()}))
    sys.stdout.flush()
    done.wait()
    emulator.stop()


def _options(given: dict[str, Any]) -> Options:
    quirks = of_release(given["release"])
    pairs = [pair.partition("=") for pair in given["quirks"]]
    quirks.change({name: value for name, _, value in pairs})
    authkey = given["authkey"]
    if given["authkey_file"] is not None:
        authkey = given["authkey_file"].read_text(encoding="utf-8").strip()
    if given["users"] is not None:
        accounts = read_directory(given["users"], authkey)
    else:
        accounts = default_directory(authkey or "emulator")
    if (given["tls_cert"] is None) != (given["tls_key"] is None):
        raise ValueError("--tls-cert and --tls-key belong together")
    if given["tls_cert"] is None and (given["tls_ca"] or given["tls_http_ca"]) is not None:
        raise ValueError("--tls-ca and --tls-http-ca need --tls-cert")
    return Options(
        host=given["host"],
        grpc_ports=tuple(given["grpc_ports"]),
        mgm_ports=tuple(given["mgm_ports"]),
        fst_ports=tuple(given["fst_ports"]),
        admin_port=given["admin_port"],
        data_dir=given["data_dir"],
        instance=given["instance"],
        accounts=accounts,
        faults=_faults(given["faults"]),
        quirks=quirks,
        layout=parsed_layout(given["layout"]),
        altxs=given["altxs"],
        filesystems=given["filesystems"],
        seed=given["seed"],
        durable=given["durable"],
        tls=_tls(given),
    )


def _tls(given: dict[str, Any]) -> Tls | None:
    if given["tls_cert"] is None:
        return None
    return Tls(given["tls_cert"], given["tls_key"], ca=given["tls_ca"], http_ca=given["tls_http_ca"])


def parsed_layout(text: str) -> Layout:
    """A layout such as `replica:2:adler32`. Raises `ValueError`."""
    kind, _, rest = text.partition(":")
    stripes, _, checksum = rest.partition(":")
    if kind not in LAYOUT_TYPES or checksum not in ("", *CHECKSUM_TYPES[1:]) or (stripes and not stripes.isdigit()):
        raise ValueError(f"--layout: {text!r} is not TYPE[:STRIPES[:CHECKSUM]]")
    return Layout(kind, checksum or "adler32", int(stripes or (1 if kind == "plain" else 2)))


def _faults(path: Path | None) -> tuple[dict[str, Any], ...]:
    if path is None:
        return ()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    return tuple(document if isinstance(document, list) else [document])
