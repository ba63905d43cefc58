"""Section 8.5 of the protocol reference: the acceptance run of CERN's Go plugin, call by call.

`Plugin` below sends what the unmodified plugin sends: the same messages by gRPC, and by HTTP the same bytes as Go's
client makes of its requests, with its leaks and its two framings of one body. `RECORDED` are heads that the plugin
itself sent, built into versitygw 1.2.0 and run against the emulator. Only then the S3 side is played.
"""

import contextlib
import hashlib
import random
import re
import socket
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import grpc
import pytest

from backends.eos.proto import namespace_pb2 as rpc
from backends.eos.proto import namespace_pb2_grpc as stubs
from tests.support.eos import Emulator

UNLIMITED = 2**64 - 1
PART = 5_000_000


class NoSuchResource(Exception):
    """What the plugin makes of every failure of a stream."""


class PluginFailure(Exception):
    """A failure of a call."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Plugin:
    """The client layer of the plugin for one S3 account."""

    def __init__(self, eos, uid=1000, gid=1000, user="alice"):
        self.eos, self.uid, self.gid, self.user = eos, uid, gid, user
        self.stub = stubs.EosStub(grpc.insecure_channel(eos.grpc_target))
        self.connections = {}

    @property
    def role(self):
        return rpc.RoleId(uid=self.uid, gid=self.gid)

    # gRPC

    def stat(self, path):
        """MD of type STAT; the first message only, and any failure is "no such resource"."""
        request = rpc.MDRequest(type=rpc.STAT, id=rpc.MDId(path=path.encode()), authkey=self.eos.key, role=self.role)
        try:
            return next(iter(self.stub.MD(request)))
        except grpc.RpcError as error:
            raise NoSuchResource(path) from error

    def list_dir(self, path, recursive=False):
        """Find of type LISTING; the first entry is skipped whatever it is."""
        request = rpc.FindRequest(
            type=rpc.LISTING,
            id=rpc.MDId(path=path.encode()),
            role=self.role,
            authkey=self.eos.key,
            maxdepth=UNLIMITED if recursive else 1,
        )
        try:
            return list(self.stub.Find(request))[1:]
        except grpc.RpcError as error:
            raise NoSuchResource(path) from error

    def exec(self, **command):
        reply = self.stub.Exec(rpc.NSRequest(authkey=self.eos.key, role=self.role, **command))
        # The plugin reads the sub-message without asking whether it is there.
        assert reply.HasField("error")
        if reply.error.code != 0:
            raise PluginFailure(reply.error.code, reply.error.msg)

    def mkdir(self, path):
        self.exec(mkdir=rpc.NSRequest.MkdirRequest(id=rpc.MDId(path=path.encode()), recursive=True, mode=0o755))

    def rmdir(self, path):
        self.exec(rmdir=rpc.NSRequest.RmdirRequest(id=rpc.MDId(path=path.encode())))

    def remove(self, path, recursive=False):
        self.exec(rm=rpc.NSRequest.RmRequest(id=rpc.MDId(path=path.encode()), recursive=recursive))

    def rename(self, path, target):
        self.exec(rename=rpc.NSRequest.RenameRequest(id=rpc.MDId(path=path.encode()), target=target.encode()))

    # HTTP, as Go's client writes it

    def url(self, path):
        """Go's URL type escapes what it must; the plugin itself does only `#`."""
        escaped = quote(path.lstrip("/"), safe="/+&=:;,@$!*()~")
        return f"{self.eos.mgm_url}/{escaped}?eos.ruid={self.uid}&eos.rgid={self.gid}"

    def headers(self):
        return {
            "Remote-User": self.user,
            "X-Forwarded-For": "dummy",
            "X-Gateway-Authorization": self.eos.key,
        }

    @staticmethod
    def head(method, url, headers, framing):
        """A request's head as Go's client writes it; `framing` is the header that it chooses for the body."""
        netloc = urlsplit(url).netloc
        lines = [
            f"{method} {url.partition(netloc)[2]} HTTP/1.1",
            f"Host: {netloc}",
            "User-Agent: Go-http-client/1.1",
            *([framing] if framing else []),
            # Go sorts by the names as they are, capitals first.
            *(f"{name}: {value}" for name, value in sorted(headers.items())),
            # Of a range of a body that might be compressed, nothing could be made.
            *([] if "Range" in headers else ["Accept-Encoding: gzip"]),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def send(self, method, url, headers, framing, body=b""):
        """One request. Connections are kept and used again, unless an error came: the plugin leaves its body unread."""
        parts = urlsplit(url)
        request = self.head(method, url, headers, framing)
        kept = self.connections.pop(parts.netloc, None)
        sock = kept or socket.create_connection((parts.hostname, parts.port), timeout=30)
        try:
            sock.sendall(request)
            with contextlib.suppress(OSError):
                # An early answer is read all the same.
                sock.sendall(body)
            answer = self.receive(sock)
        except BaseException:
            sock.close()
            raise
        if answer.status in (200, 201, 206, 307) and answer.headers["connection"].lower() == "keep-alive":
            self.connections[parts.netloc] = sock
        else:
            sock.close()
        return answer

    @staticmethod
    def receive(sock):
        stream = sock.makefile("rb")
        status = int(stream.readline().split()[1])
        headers = {}
        while line := stream.readline().rstrip(b"\r\n"):
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        return Answer(status, headers, stream.read(int(headers.get("content-length", "0"))))

    def close(self):
        for sock in self.connections.values():
            sock.close()

    def download(self, path, wanted=None):
        """GET, following redirects by hand with all headers, and so with the key."""
        headers = {**self.headers(), **({"Range": wanted} if wanted else {})}
        url, seen = self.url(path), 0
        while True:
            answer = self.send("GET", url, headers, "")
            if answer.status not in (302, 307):
                break
            url, seen = answer.headers["location"], seen + 1
            assert seen < 5
        if answer.status >= 300:
            raise PluginFailure(answer.status, answer.body)
        return answer.body

    def upload(self, path, data):
        """PUT without a body, then PUT of a reader of unknown length, hence in chunks, with the same headers."""
        self._two_legs(path, data, self.headers(), self.headers())

    def upload_chunk(self, path, data, offset, total):
        """A range PUT: all names in lower case and, to the FST, a content-length beside the chunks."""
        headers = {
            **{name.lower(): value for name, value in self.headers().items()},
            "x-upload-range": f"bytes={offset}-{offset + len(data) - 1}",
            "x-upload-totalsize": str(total),
        }
        self._two_legs(path, data, headers, {**headers, "content-length": str(len(data))})

    def _two_legs(self, path, data, to_mgm, to_fst):
        answer = self.send("PUT", self.url(path), to_mgm, "Content-Length: 0")
        if answer.status != 307:
            raise PluginFailure(answer.status, answer.body)
        pieces = [data[at : at + 32768] for at in range(0, len(data), 32768)]
        body = b"".join(b"%x\r\n" % len(piece) + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
        answer = self.send("PUT", answer.headers["location"], to_fst, "Transfer-Encoding: chunked", body)
        if answer.status not in (200, 201):
            raise PluginFailure(answer.status, answer.body)


class Bucket:
    """What the plugin does for S3 operations, as far as it reaches EOS."""

    def __init__(self, plugin, path):
        self.plugin, self.path = plugin, path

    def put(self, key, data):
        if "/" in key:
            self.plugin.mkdir(f"{self.path}/{key.rpartition('/')[0]}")
        self.plugin.upload(f"{self.path}/{key}", data)
        return self.etag(self.plugin.stat(f"{self.path}/{key}").fmd)

    def get(self, key):
        data = self.plugin.download(f"{self.path}/{key}")
        assert self.plugin.stat(f"{self.path}/{key}").fmd.size == len(data)
        return data

    @staticmethod
    def etag(found):
        """The md5 among the checksums, as text."""
        return next((checksum.value.decode() for checksum in found.checksums if checksum.type == "md5"), "<unknown>")

    def listed(self, prefix=""):
        found = self.plugin.list_dir(f"{self.path}/{prefix}".rstrip("/"), recursive=True)
        return {item.fmd.path.decode().removeprefix(f"{self.path}/") for item in found if item.type == rpc.FILE}

    def level(self, prefix=""):
        found = self.plugin.list_dir(f"{self.path}/{prefix}".rstrip("/"))
        paths = (item.fmd.path if item.type == rpc.FILE else item.cmd.path for item in found)
        return {path.decode().removeprefix(f"{self.path}/") for path in paths}

    def delete(self, key):
        self.plugin.remove(f"{self.path}/{key}")

    def multipart(self, key, data, upload="0c4e2b6e"):
        """Create, upload parts, complete."""
        folder = f"{self.path}/.multipart.{upload}"
        self.plugin.mkdir(folder)
        parts = [data[at : at + PART] for at in range(0, len(data), PART)]
        for number, part in enumerate(parts, 1):
            path = f"{folder}/.part.{number:05d}"
            self.plugin.upload(path, part)
            assert self.etag(self.plugin.stat(path).fmd) == hashlib.md5(part).hexdigest()
        names = sorted(item.fmd.name.decode() for item in self.plugin.list_dir(folder))
        assert names == [f".part.{number:05d}" for number in range(1, len(parts) + 1)]
        offset = 0
        for name in names:
            piece = self.plugin.download(f"{folder}/{name}")
            self.plugin.upload_chunk(f"{folder}/tmp", piece, offset, len(data))
            offset += len(piece)
        # Also of the bucket's own directory, for a key without a slash.
        self.plugin.mkdir(f"{self.path}/{key}".rpartition("/")[0])
        self.plugin.rename(f"{folder}/tmp", f"{self.path}/{key}")
        self.plugin.remove(folder, recursive=True)
        return self.etag(self.plugin.stat(f"{self.path}/{key}").fmd)


@pytest.fixture(scope="module")
def eos(tmp_path_factory):
    # Nothing is switched: the emulator's defaults are the permissive ones.
    with Emulator(tmp_path_factory.mktemp("eos")) as running:
        yield running


@pytest.fixture
def plugin(eos):
    made = Plugin(eos)
    yield made
    made.close()


@pytest.fixture
def bucket(eos, plugin, request):
    name = re.sub(r"\W", "-", request.node.name)
    path = f"{eos.home('alice')}/{name}"
    plugin.mkdir(path)
    yield Bucket(plugin, path)
    eos.quirks(chunked_with_length="mhd", mgm_body="strict")


TREE = {
    "a.txt": b"a",
    "empty": b"",
    "nearly-empty": b"\n",
    "docs/one": b"one" * 1000,
    "docs/two words": b"two",
    "docs/deep/er/three+3": b"three" * 100_000,
    "docs/deep/#hash": b"hash",
}


# The shapes of requests that the plugin made in its run, one head each; capabilities are shortened.
RECORDED = {
    "PUT, MGM": """\
PUT /eos/dev/home/alice/b/documents/plan.txt?eos.ruid=1000&eos.rgid=1000 HTTP/1.1
Host: 127.0.0.1:18000
User-Agent: Go-http-client/1.1
Content-Length: 0
Remote-User: alice
X-Forwarded-For: dummy
X-Gateway-Authorization: gateway-key
Accept-Encoding: gzip
""",
    "PUT, FST": """\
PUT /eos/dev/home/alice/b/zero%20file%2B%C3%A9%231?encURI=cap.key%3D5N4RwQ7o HTTP/1.1
Host: 127.0.0.1:18001
User-Agent: Go-http-client/1.1
Transfer-Encoding: chunked
Remote-User: alice
X-Forwarded-For: dummy
X-Gateway-Authorization: gateway-key
Accept-Encoding: gzip
""",
    "GET of a range": """\
GET /eos/dev/home/alice/b/big/file.bin?eos.ruid=1000&eos.rgid=1000 HTTP/1.1
Host: 127.0.0.1:18000
User-Agent: Go-http-client/1.1
Range: bytes=0-5242879
Remote-User: alice
X-Forwarded-For: dummy
X-Gateway-Authorization: gateway-key
""",
    "range PUT, MGM": """\
PUT /eos/dev/home/alice/b/.multipart.42498e1c/tmp?eos.ruid=1000&eos.rgid=1000 HTTP/1.1
Host: 127.0.0.1:18000
User-Agent: Go-http-client/1.1
Content-Length: 0
remote-user: alice
x-forwarded-for: dummy
x-gateway-authorization: gateway-key
x-upload-range: bytes=15728640-19999999
x-upload-totalsize: 20000000
Accept-Encoding: gzip
""",
    "range PUT, FST": """\
PUT /eos/dev/home/alice/b/.multipart.42498e1c/tmp?encURI=cap.key%3D5N4RwQ7o HTTP/1.1
Host: 127.0.0.1:18001
User-Agent: Go-http-client/1.1
Transfer-Encoding: chunked
content-length: 4271360
remote-user: alice
x-forwarded-for: dummy
x-gateway-authorization: gateway-key
x-upload-range: bytes=15728640-19999999
x-upload-totalsize: 20000000
Accept-Encoding: gzip
""",
}


class Recorder(Plugin):
    """The plugin with an MGM and an FST that only write down what comes."""

    def __init__(self):
        self.uid, self.gid, self.user = 1000, 1000, "alice"
        self.eos = SimpleNamespace(mgm_url="http://127.0.0.1:18000", key="gateway-key")
        self.heads = []

    def send(self, method, url, headers, framing, body=b""):
        self.heads.append(self.head(method, url, headers, framing).decode())
        if "encURI" in url or method == "GET":
            return Answer(201 if method == "PUT" else 200, {}, b"")
        path = url.partition("?")[0].replace(":18000", ":18001").replace("+", "%2B")
        return Answer(307, {"location": f"{path}?encURI=cap.key%3D5N4RwQ7o"}, b"")


def test_the_requests_are_those_that_the_plugin_sends():
    plugin = Recorder()
    plugin.upload("/eos/dev/home/alice/b/documents/plan.txt", b"x")
    plugin.upload("/eos/dev/home/alice/b/zero file+é#1", b"")
    plugin.download("/eos/dev/home/alice/b/big/file.bin", "bytes=0-5242879")
    plugin.upload_chunk("/eos/dev/home/alice/b/.multipart.42498e1c/tmp", bytes(4271360), 15728640, 20000000)
    sent = [head.replace("\r\n", "\n").removesuffix("\n") for head in plugin.heads]
    assert [sent[number] for number in (0, 3, 4, 5, 6)] == list(RECORDED.values())


def test_the_whole_run(eos, plugin, bucket):
    eos.reset_counters()
    for key, data in TREE.items():
        etag = bucket.put(key, data)
        assert etag == (hashlib.md5(data).hexdigest() if data else "<unknown>")
    assert bucket.listed() == set(TREE)
    assert bucket.listed("docs/") == {key for key in TREE if key.startswith("docs/")}
    assert bucket.level() == {"a.txt", "empty", "nearly-empty", "docs/"}
    with pytest.raises(NoSuchResource):
        bucket.listed("doc/")

    big = random.Random(5).randbytes(4 * PART)
    assert bucket.multipart("big/file", big) == hashlib.md5(big).hexdigest()
    assert plugin.stat(f"{bucket.path}/big/file").fmd.size == len(big)
    assert not any(name.startswith(".multipart") for name in bucket.level())

    assert {key: bucket.get(key) for key in bucket.listed()} == {**TREE, "big/file": big}
    assert plugin.download(f"{bucket.path}/big/file", "bytes=5000000-9999999") == big[5000000:10000000]
    bucket.delete("a.txt")
    with pytest.raises(NoSuchResource):
        plugin.stat(f"{bucket.path}/a.txt")
    for key in bucket.listed():
        bucket.delete(key)
    assert bucket.listed() == set()
    # The plugin re-sends the key to FSTs; the emulator noticed.
    assert eos.counters()["fst.leaked_keys"] > 0


def test_what_the_plugin_sends_for_a_bucket_that_exists_already(plugin, bucket):
    plugin.mkdir(bucket.path)
    container = plugin.stat(bucket.path)
    assert (container.type, container.cmd.mode & 0o777) == (rpc.CONTAINER, 0o755)
    assert container.cmd.files + container.cmd.containers == 0
    plugin.rmdir(bucket.path)
    with pytest.raises(NoSuchResource):
        plugin.stat(bucket.path)


@pytest.mark.parametrize(("policy", "status"), [("xrootd5", 500), ("xrootd6", 400)])
def test_without_the_permissive_mode_completion_fails(eos, bucket, policy, status):
    eos.quirks(chunked_with_length=policy)
    with pytest.raises(PluginFailure) as caught:
        bucket.multipart("big", b"x" * (2 * PART))
    assert caught.value.args[0] == status


def test_a_small_part_passes_xrootd5(eos, bucket):
    eos.quirks(chunked_with_length="xrootd5")
    assert bucket.multipart("small", b"x" * 1000) == hashlib.md5(b"x" * 1000).hexdigest()


def test_completion_over_an_existing_key_fails_at_the_rename(bucket):
    bucket.put("key", b"old")
    with pytest.raises(PluginFailure) as caught:
        bucket.multipart("key", b"new")
    assert caught.value.args[0] == 17
    assert bucket.get("key") == b"old"


def test_a_user_whom_the_gateways_host_does_not_know_is_nobody(eos, bucket):
    stranger = Plugin(eos, user="<unknown>")
    with pytest.raises(PluginFailure) as caught:
        stranger.upload(f"{bucket.path}/f", b"x")
    assert caught.value.args[0] == 403


def test_a_pattern_as_a_key_deletes_its_siblings(bucket):
    for key in ("a*", "ab", "b"):
        bucket.put(key, b"x")
    bucket.delete("a*")
    assert bucket.listed() == {"b"}


def test_an_overwrite_that_breaks_off_has_destroyed_the_old_object(eos, plugin, bucket):
    bucket.put("key", b"old")
    answer = plugin.send("PUT", plugin.url(f"{bucket.path}/key"), plugin.headers(), "Content-Length: 0")
    assert answer.status == 307
    assert plugin.stat(f"{bucket.path}/key").fmd.size == 0


def test_an_unreadable_directory_makes_the_whole_listing_fail(eos, plugin, bucket):
    bucket.put("a", b"x")
    eos.directory_at(f"{bucket.path}/closed", uid=1001, gid=1001, mode="700")
    with pytest.raises(NoSuchResource):
        bucket.listed()
