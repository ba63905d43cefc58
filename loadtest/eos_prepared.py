"""What reading a directory of EOS costs a worker when the MGM is not the limit: Find's answer prepared in advance.

    python -m loadtest.eos_prepared [--entries 100000] [--attribute 400] [--repeat 3]

A process of its own sends the entries as an MGM does, a DATA frame for each message, as fast as they are taken. Each
entry is a file with an attribute of `--attribute` bytes, about what a record takes. Printed are the time and the
processor time of the reading, of entries that are ready to be shown, and of a page's sorting and choice.
"""

from __future__ import annotations

import argparse
import socket
import struct
import subprocess
import sys
import time

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import h2.config
import h2.connection
import h2.events

from backends.api import BackendConfig
from backends.eos.channel import Channels
from backends.eos.interfaces import Role
from backends.eos.listing import Directories
from backends.eos.namespace import Namespace
from backends.eos.options import Options, options_of
from backends.eos.proto import namespace_pb2 as rpc

ROOT = "/eos/prepared"
_BLOCK = 1 << 16


def messages(count: int, attribute: int) -> list[bytes]:
    """What Find sends of a directory with so many files."""
    record = b"1.0.-." + b"x" * attribute
    return [
        rpc.MDResponse(
            type=rpc.FILE,
            fmd=rpc.FileMdProto(
                id=number,
                cont_id=2,
                uid=1000,
                gid=1000,
                size=number,
                layout_id=0x00100112,
                flags=0o644,
                name=f"object-{number:08d}.dat".encode(),
                path=f"{ROOT}/object-{number:08d}.dat".encode(),
                ctime=rpc.Time(sec=1, n_sec=number),
                mtime=rpc.Time(sec=1, n_sec=number),
                checksums=[rpc.Checksum(type="adler32", value=bytes(32))],
                locations=[1, 2],
                etag=f'"{number << 28}:00000001"',
                xattrs={"sys.eos.btime": b"1.1", "user.shardgate": record},
                inode=number << 28,
            ),
        ).SerializeToString()
        for number in range(1, count + 1)
    ]


def serve(count: int, attribute: int) -> None:
    """Send the directory to everybody who asks for anything; the port is printed."""
    frames = []
    for message in messages(count, attribute):
        payload = struct.pack(">BI", 0, len(message)) + message
        frames.append(struct.pack(">I", len(payload))[1:] + b"\0\0" + struct.pack(">I", 1) + payload)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        with sock:
            answer(sock, frames)


def answer(sock: socket.socket, frames: list[bytes]) -> None:
    """One connection: the answer to its first call."""
    state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    state.initiate_connection()
    sock.sendall(state.data_to_send())
    asked = False
    window = 0

    def heard(data: bytes) -> None:
        nonlocal asked, window
        for event in state.receive_data(data):
            asked = asked or isinstance(event, h2.events.StreamEnded)
        window = state.local_flow_control_window(1) if asked else 0
        if not data:
            raise ConnectionError

    while not asked:
        heard(sock.recv(_BLOCK))
    state.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    sock.sendall(state.data_to_send())
    # What is sent past h2 is counted here; it tells how much has been allowed in all.
    sent, batch, size = 0, [], 0
    for frame in frames:
        batch.append(frame)
        size += len(frame)
        if size < _BLOCK:
            continue
        while window - sent < size:
            heard(sock.recv(_BLOCK))
        sock.sendall(b"".join(batch))
        sent += size - 9 * len(batch)
        batch, size = [], 0
    sock.sendall(b"".join(batch))
    state.send_headers(1, [("grpc-status", "0")], end_stream=True)
    sock.sendall(state.data_to_send())
    while sock.recv(_BLOCK):
        pass


def options(port: int) -> Options:
    """The plugin's options for the process that sends."""
    return options_of(
        BackendConfig(
            options={
                "grpc": [f"127.0.0.1:{port}"],
                "mgm": ["http://127.0.0.1:1"],
                "authkey": "key",
                "state": f"{ROOT}/s3",
                "root": ROOT,
                "service": {"uid": 900, "gid": 900},
                "tls": {"enabled": False},
            }
        )
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--attribute", type=int, default=400)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.entries, given.attribute)
    command = [sys.executable, "-m", "loadtest.eos_prepared", "--serve"]
    command += ["--entries", str(given.entries), "--attribute", str(given.attribute)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        chosen = options(int(process.stdout.readline()))
        for _ in range(given.repeat):
            measure(chosen)
    finally:
        process.terminate()
        process.wait()


def measure(chosen: Options) -> None:
    """One reading, over a connection of its own."""
    channels = Channels(chosen)
    channels.open()
    namespace = Namespace(chosen, channels)
    directories = Directories(namespace, limit=chosen.cached_names, age=60.0)
    try:
        started, used = time.monotonic(), time.process_time()
        known = directories._read((1000, 1000, ROOT, ""), Role(1000, 1000), ())
        seconds, processor = time.monotonic() - started, time.process_time() - used
    finally:
        channels.close()
    print(
        f"{known.size:,} entries in {seconds:.2f} s, processor {processor:.2f} s,"
        f" {processor / known.size * 1e6:.1f} us an entry",
        flush=True,
    )


if __name__ == "__main__":
    main()
