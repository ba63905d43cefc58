"""What one small request costs in a worker, without sockets: pipeline and Falcon app over the memory backend or posix.

    python loadtest/profile_pipeline.py                    # microseconds for each kind of request
    python loadtest/profile_pipeline.py --profile get      # the same under cProfile, the 40 dearest functions
    python loadtest/profile_pipeline.py --posix            # over files in a temporary directory
    python loadtest/profile_pipeline.py --recorder         # with access log and metrics switched on

Requests are signed once with botocore's own signer and performed again and again: as in production, the signing key is
cached and everything else is done anew. The figures are the best of several rounds, which is what a quiet core gives.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import io
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from backends.api import BackendConfig
from backends.memory.backend import MemoryBackend
from backends.posix import PosixBackend
from workers.app import GatewayApp
from workers.iam.auth_cache import AuthCache, root_identity
from workers.request import environ_key
from workers.server.body import EMPTY, NoBody
from workers.server.exchange import Exchange
from workers.services import Services
from workers.settings import load_settings
from workers.telemetry.access_log import AccessLog
from workers.telemetry.metrics import Metrics
from workers.telemetry.recorder import Recorder

ACCESS_KEY, SECRET_KEY = "AKIAPROFILE", "secretsecretsecret"
HOST = "127.0.0.1:9000"
DATA = b"x" * 1024


class Input:
    """A body that can be read again."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def read(self, size: int = -1) -> bytes:
        block = self._data[self._at : len(self._data) if size < 0 else self._at + size]
        self._at += len(block)
        return block


def environ_of(
    method: str,
    target: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    credentials: tuple[str, str] = (ACCESS_KEY, SECRET_KEY),
) -> dict[str, Any]:
    """The environ that the server makes of a signed request of an SDK; `credentials` are access key and secret."""
    given = {
        "User-Agent": "Boto3/1.40 md/Botocore#1.40 ua/2.1",
        "X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest(),
    }
    request = AWSRequest(method, f"http://{HOST}{target}", headers={**given, **(headers or {})}, data=body)
    S3SigV4Auth(Credentials(*credentials), "s3", "us-east-1").add_auth(request)
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "RAW_URI": target,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "9000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.version": (1, 0),
        "HTTP_HOST": HOST,
        "HTTP_ACCEPT_ENCODING": "identity",
        "HTTP_AMZ_SDK_INVOCATION_ID": "b7f0e1f4-0000-4000-8000-000000000000",
        "HTTP_AMZ_SDK_REQUEST": "attempt=1",
    }
    for name, value in request.headers.items():
        environ[environ_key(name.lower())] = value
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def make_app(directory: Path, *, recorder: bool, posix: bool = False) -> GatewayApp:
    """An app over an empty backend, in memory or on `directory` without synchronizing."""
    settings = load_settings(
        {"backend": "memory", "access_key": ACCESS_KEY}, {"SHARDGATE_SECRET_KEY": SECRET_KEY}, None
    )
    config = BackendConfig(directory=str(directory), durable=False)
    backend = PosixBackend(config) if posix else MemoryBackend(config)
    backend.open()
    accounts = (
        Recorder(AccessLog(str(directory / "access.log")), Metrics("127.0.0.1", 9, "p")) if recorder else Recorder()
    )
    return GatewayApp(
        Services(
            settings=settings,
            backend=backend,
            auth=AuthCache(root_identity(ACCESS_KEY, SECRET_KEY)),
            recorder=accounts,
        )
    )


class Bench:
    """Performs prepared requests."""

    def __init__(self, app: GatewayApp) -> None:
        self.app = app
        self.status = ""

    def start_response(self, status: str, headers: object, exc_info: object = None) -> Callable[[bytes], None]:
        self.status = status
        return lambda data: None

    def perform(self, prepared: dict[str, Any], body: bytes) -> None:
        """One request through the whole app, as the server would have it done."""
        environ = prepared.copy()
        source: NoBody = EMPTY
        environ["wsgi.input"] = Input(body) if body else source
        exchange = environ["shardgate.exchange"] = Exchange(source, time.monotonic(), None)
        result = self.app(environ, self.start_response)
        for _ in result:
            pass
        close = getattr(result, "close", None)
        if close is not None:
            close()
        exchange.finish(print)

    def time(self, prepared: dict[str, Any], body: bytes, *, rounds: int, count: int) -> float:
        """Microseconds of CPU time for one request, the best of `rounds`."""
        best = 1e9
        for _ in range(rounds):
            began = time.process_time()
            for _ in range(count):
                self.perform(prepared, body)
            best = min(best, time.process_time() - began)
        if not self.status.startswith("2"):
            raise SystemExit(f"the request failed: {self.status}")
        return best / count * 1e6


def repeated(kind: str, count: int) -> int:
    """How often a kind is performed: a long list a hundredth as often."""
    return max(1, count // 100) if "1000" in kind else count


def main() -> None:
    """Measure, or profile one kind of request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", metavar="KIND", help="profile one kind instead")
    parser.add_argument("--recorder", action="store_true", help="with access log and metrics")
    parser.add_argument("--posix", action="store_true", help="over files instead of memory")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(make_app(Path(directory), recorder=options.recorder, posix=options.posix))
        bench.perform(environ_of("PUT", "/bucket"), b"")
        put_headers = {"Content-Type": "text/plain", "x-amz-meta-origin": "profile"}
        kinds = {
            "put": (environ_of("PUT", "/bucket/dir/key", DATA, put_headers), DATA),
            "get": (environ_of("GET", "/bucket/dir/key"), b""),
            "head": (environ_of("HEAD", "/bucket/dir/key"), b""),
            "range": (environ_of("GET", "/bucket/dir/key", headers={"Range": "bytes=0-99"}), b""),
            "list": (environ_of("GET", "/bucket?list-type=2&max-keys=1"), b""),
            "list of 1000": (environ_of("GET", "/listed?list-type=2"), b""),
            "delete of nothing": (environ_of("DELETE", "/bucket/missing"), b""),
            "presigned-like query": (
                environ_of("GET", "/bucket/dir/key?response-content-type=a%2Fb&x-id=GetObject"),
                b"",
            ),
        }
        bench.perform(*kinds["put"])
        bench.perform(environ_of("PUT", "/listed"), b"")
        for number in range(1200):
            bench.perform(environ_of("PUT", f"/listed/object-{number:06d}", DATA), DATA)
        if options.profile:
            profiler = cProfile.Profile()
            prepared, body = kinds[options.profile]
            profiler.enable()
            for _ in range(repeated(options.profile, options.count)):
                bench.perform(prepared, body)
            profiler.disable()
            pstats.Stats(profiler).sort_stats("tottime").print_stats(40)
            return
        for name, (prepared, body) in kinds.items():
            taken = bench.time(prepared, body, rounds=options.rounds, count=repeated(name, options.count))
            print(f"{name:24}{taken:8.1f} us")


if __name__ == "__main__":
    main()
