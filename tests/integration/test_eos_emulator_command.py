"""The command `shardgate eos-emulator`: options, TLS, standing alone."""

import json
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest

from backends.eos.proto import namespace_pb2 as rpc
from backends.eos.proto import namespace_pb2_grpc as stubs
from tests.support.eos import Emulator, http_request

COMMAND = [sys.executable, "-m", "dispatcher.cli", "eos-emulator"]
FREE = ["--grpc-port", "0", "--mgm-port", "0", "--fst-port", "0", "--fst-port", "0", "--admin-port", "0"]
ROOT = Path(__file__).resolve().parents[2]


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)


def test_it_says_its_ports_and_ends_with_sigterm():
    with subprocess.Popen([*COMMAND, *FREE], stdout=subprocess.PIPE, cwd=ROOT) as process:
        ready = json.loads(process.stdout.readline())
        assert ready["ready"] is True
        assert len(ready["fst"]) == 2
        directory = Path(ready["data_dir"])
        assert (directory / "namespace.sqlite").exists()
        assert http_request(f"http://127.0.0.1:{ready['mgm'][0]}/eos/dev", "HEAD").status == 200
        channel = grpc.insecure_channel(f"127.0.0.1:{ready['grpc'][0]}")
        reply = stubs.EosStub(channel).NsStat(rpc.NsStatRequest(authkey="emulator"))
        assert reply.code == 0
        channel.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not directory.exists(), "a temporary directory goes with the process"


def test_help_is_the_emulators():
    found = run("--help")
    assert found.returncode == 0
    assert "--fst-port" in found.stdout
    assert "--quirk" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--quirk", "none=1"], "there is no switch 'none'"),
        (["--layout", "cube"], "--layout: 'cube' is not"),
        (["--grpc-port", "0", "--mgm-port", "0", "--mgm-port", "0"], "every MGM has"),
        (["--tls-cert", __file__], "belong together"),
        (["--users", __file__], "test_eos_emulator_command.py: "),
        (["--faults", __file__], "test_eos_emulator_command.py: "),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, text):
    found = run(*(FREE if "--mgm-port" not in arguments else []), *arguments)
    assert found.returncode == 2
    assert found.stderr.startswith("eos-emulator: ")
    assert text in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--mgm-port", "--grpc-port", "--admin-port"])
def test_a_port_that_is_taken(option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = list(FREE)
        arguments[FREE.index(option) + 1] = str(taken.getsockname()[1])
        found = run(*arguments)
        assert found.returncode == 2
        # gRPC writes a line of its own before.
        assert found.stderr.splitlines()[-1].startswith("eos-emulator: ")


def test_it_imports_nothing_of_the_gateway():
    code = (
        "import sys, backends.eos.emulator.main;"
        "print([m for m in sys.modules if m.split('.')[0] in ('workers', 'dispatcher', 'gevent', 'falcon')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", directory / "key.pem", "-out", directory / "cert.pem", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return directory


def https(url, method, headers, certificate, body=None):
    """Status, headers and body by HTTPS, redirects not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_arguments):
            return None

    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), Stay)
    request = urllib.request.Request(url, method=method, headers=headers, data=body)
    try:
        answer = opener.open(request, timeout=20)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers, answer.read()


@pytest.fixture(scope="module")
def eos(tmp_path_factory, certificate):
    options = ["--tls-cert", str(certificate / "cert.pem"), "--tls-key", str(certificate / "key.pem")]
    with Emulator(tmp_path_factory.mktemp("eos"), *options) as running:
        yield running


class TestTls:
    def test_grpc(self, eos, certificate):
        credentials = grpc.ssl_channel_credentials((certificate / "cert.pem").read_bytes())
        with grpc.secure_channel(eos.grpc_target, credentials) as channel:
            assert stubs.EosStub(channel).NsStat(rpc.NsStatRequest(authkey=eos.key), timeout=10).code == 0

    def test_http_redirects_to_plain_or_to_tls(self, eos, certificate):
        url = f"https://127.0.0.1:{eos.status['mgm'][0]}{eos.home('alice')}/f"
        headers = {
            "x-forwarded-for": "gw",
            "x-gateway-authorization": eos.key,
            "remote-user": "alice",
            "Content-Length": "0",
        }
        status, found, _ = https(url, "PUT", headers, certificate)
        assert (status, found["Location"][:7]) == (307, "http://")
        assert http_request(found["Location"], "PUT", {"Content-Length": "5"}, b"hello").status == 201
        eos.quirks(redirect_https=True)
        _, found, _ = https(url, "GET", headers, certificate)
        assert found["Location"].startswith("https://")
        status, _, body = https(found["Location"], "GET", {}, certificate)
        assert (status, body) == (200, b"hello")
        _, found, _ = https(url, "GET", {**headers, "xrd-http-redirect-http": "1"}, certificate)
        assert found["Location"].startswith("http://")
        eos.fault("redirect_plain_http", count=1)
        assert https(url, "GET", headers, certificate)[1]["Location"].startswith("http://")
        assert https(url, "GET", headers, certificate)[1]["Location"].startswith("https://")

    def test_client_certificates_can_be_demanded(self, tmp_path, certificate):
        pair = [certificate / "cert.pem", certificate / "key.pem"]
        options = ["--tls-cert", str(pair[0]), "--tls-key", str(pair[1]), "--tls-ca", str(pair[0])]
        with Emulator(tmp_path, *options) as eos:
            root = pair[0].read_bytes()
            request = rpc.NsStatRequest(authkey=eos.key)
            with grpc.secure_channel(eos.grpc_target, grpc.ssl_channel_credentials(root)) as channel:
                with pytest.raises(grpc.RpcError) as caught:
                    stubs.EosStub(channel).NsStat(request, timeout=10)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            credentials = grpc.ssl_channel_credentials(root, pair[1].read_bytes(), root)
            with grpc.secure_channel(eos.grpc_target, credentials) as channel:
                assert stubs.EosStub(channel).NsStat(request, timeout=10).code == 0
