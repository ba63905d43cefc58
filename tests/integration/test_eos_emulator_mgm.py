"""Section 3 of the protocol reference: HTTP at the emulator's MGM."""

import base64
import http.client
import json
from urllib.parse import quote, unquote, urlsplit

import pytest

from backends.eos.proto import namespace_pb2 as rpc
from tests.support.eos import Client, Emulator, http_request, raw_connection


@pytest.fixture(scope="module")
def eos(tmp_path_factory):
    with Emulator(tmp_path_factory.mktemp("eos")) as running:
        yield running


@pytest.fixture
def alice(eos):
    with Client(eos, 1000, 1000) as client:
        yield client


@pytest.fixture
def bob(eos):
    with Client(eos, 1001, 1001) as client:
        yield client


@pytest.fixture
def box(eos, request):
    return eos.directory_at(f"{eos.home('alice')}/{request.node.name}", uid=1000, gid=1000, mode="755")


def capability(location):
    """The capability in a redirect, as an FST reads it."""
    fields = dict(part.partition("=")[::2] for part in unquote(urlsplit(location).query.partition("=")[2]).split("&"))
    return json.loads(base64.b64decode(fields["cap.msg"])[32:])


class TestVerbs:
    """Section 3.3."""

    def test_get_redirects_to_the_fst_that_has_the_file(self, eos, alice, box):
        alice.put(f"{box}/f", b"hello")
        reply = alice.mgm("GET", f"{box}/f")
        assert (reply.status, reply.reason) == (307, "TEMPORARY_REDIRECT")
        assert reply.headers["etag"] == alice.stat(f"{box}/f").etag
        assert urlsplit(reply.headers["location"]).port in eos.fst_ports

    def test_get_of_an_empty_file_is_answered_at_once(self, alice, box):
        alice.put(f"{box}/f", b"")
        reply = alice.mgm("GET", f"{box}/f", Range="bytes=0-1")
        assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "0")
        assert reply.headers["content-disposition"] == 'filename="f"'

    def test_get_of_directories(self, eos, alice, box):
        assert alice.mgm("GET", box).status == 403
        eos.directory_at(f"{box}/i", xattrs={"sys.http.index": "/elsewhere"})
        reply = alice.mgm("GET", f"{box}/i")
        assert (reply.status, reply.headers["location"]) == (307, "/elsewhere")

    def test_get_and_head_of_what_is_missing_or_closed(self, eos, alice, bob, box):
        assert alice.mgm("GET", f"{box}/none").status == 404
        assert alice.mgm("HEAD", f"{box}/none").status == 404
        eos.directory_at(f"{box}/p", uid=1000, gid=1000, mode="700")
        alice.put(f"{box}/p/f", b"x")
        assert bob.mgm("GET", f"{box}/p/f").status == 403
        assert bob.mgm("HEAD", f"{box}/p/f").status == 403

    def test_head(self, alice, box):
        alice.put(f"{box}/f", b"hello world")
        reply = alice.mgm("HEAD", f"{box}/f", Want_Digest="adler32")
        assert (reply.status, reply.body) == (200, b"")
        assert reply.headers["content-length"] == "11"
        assert reply.headers["etag"] == alice.stat(f"{box}/f").etag
        assert reply.headers["last-modified"].endswith(" GMT")
        assert reply.headers["accept-ranges"] == "bytes"
        assert reply.headers["digest"] == "adler32=1a0b045d"
        assert "digest" not in alice.mgm("HEAD", f"{box}/f", Want_Digest="ADLER32").headers
        directory = alice.mgm("HEAD", box)
        assert (directory.status, "content-length" in directory.headers) == (200, False)

    def test_if_match_is_honoured_and_if_none_match_is_not(self, alice, box):
        alice.put(f"{box}/f", b"x")
        etag = alice.stat(f"{box}/f").etag
        assert alice.mgm("GET", f"{box}/f", If_Match='"other"').status == 412
        assert alice.mgm("GET", f"{box}/f", If_None_Match=etag).status == 307
        assert alice.mgm("GET", f"{box}/f", If_Non_Match=etag).status == 304
        assert alice.mgm("PUT", f"{box}/f", If_Match='"other"').status == 412
        assert alice.mgm("PUT", f"{box}/new", If_Match=etag).status == 412
        assert alice.mgm("PUT", f"{box}/f", If_None_Match="*").status == 307

    def test_delete_is_recursive(self, alice, box):
        alice.mkdir(f"{box}/d/e")
        alice.put(f"{box}/d/e/f", b"x")
        assert alice.mgm("DELETE", f"{box}/d").status == 204
        assert alice.missing(f"{box}/d")
        assert alice.mgm("DELETE", f"{box}/d").status == 404

    def test_delete_of_somebody_elses(self, alice, bob, box):
        alice.put(f"{box}/f", b"x")
        assert bob.mgm("DELETE", f"{box}/f").status == 403

    def test_delete_and_move_cut_the_path_at_an_ampersand(self, alice, box):
        """Section 3.6."""
        for name in ("a", "a&b"):
            alice.put(f"{box}/{name}", b"x")
        assert alice.mgm("DELETE", f"{box}/a&b").status == 204
        assert alice.names(box) == [f"{box}/a&b"]

    def test_mkcol(self, alice, bob, box):
        assert alice.mgm("MKCOL", f"{box}/d").status == 201
        assert alice.mgm("MKCOL", f"{box}/d").status == 405
        assert alice.mgm("MKCOL", f"{box}/x/y").status == 409
        assert bob.mgm("MKCOL", f"{box}/z").status == 403
        headers = {**alice.headers, "Content-Length": "1"}
        assert http_request(alice.url(f"{box}/w"), "MKCOL", headers, b"x").status == 415

    def test_move(self, eos, alice, box):
        alice.put(f"{box}/a", b"1")
        target = eos.mgm_url + quote(f"{box}/b c")
        reply = alice.mgm("MOVE", f"{box}/a", Destination=target)
        assert (reply.status, reply.headers["location"]) == (201, target)
        alice.put(f"{box}/a", b"2")
        assert alice.mgm("MOVE", f"{box}/a", Destination=target, Overwrite="F").status == 412
        assert alice.mgm("MOVE", f"{box}/a", Destination=target).status == 204
        assert alice.get(f"{box}/b c").body == b"2"
        assert alice.mgm("MOVE", f"{box}/none", Destination=target + "x").status == 409
        assert alice.mgm("MOVE", f"{box}/b c", Destination=f"{eos.mgm_url}{box}/none/x").status == 409
        assert alice.mgm("MOVE", f"{box}/b c").status == 400

    def test_propfind(self, alice, box):
        alice.put(f"{box}/f", b"12345")
        alice.location("PUT", f"{box}/g", "eos.atomic=1")
        reply = alice.mgm("PROPFIND", box, Depth="1")
        assert reply.status == 207
        assert b"getcontentlength>5<" in reply.body
        assert b".sys.a" not in reply.body
        assert alice.mgm("PROPFIND", box, Depth="0").body.count(b"response>") == 2
        assert alice.mgm("PROPFIND", box, Depth="infinity").status == 501

    @pytest.mark.parametrize("verb", ["COPY", "POST", "PATCH", "TRACE"])
    def test_what_is_not_implemented(self, alice, box, verb):
        assert alice.mgm(verb, box).status == 501

    def test_options(self, alice, box):
        reply = alice.mgm("OPTIONS", box)
        assert reply.status == 200
        assert "PROPFIND" in reply.headers["allow"]


class TestUrls:
    """Section 3.2."""

    @pytest.mark.parametrize("name", ["a b", "a%b", "a?b", "a#b", "a&b", "a+b", "ü", "a\\b", "a=b;c"])
    def test_encoded_names_are_taken_as_they_are(self, alice, box, name):
        assert alice.put(f"{box}/{name}", b"content").status == 201
        assert alice.get(f"{box}/{name}").body == b"content"
        assert alice.stat(f"{box}/{name}").name == name.encode()

    def test_a_slash_at_the_end_of_a_put(self, alice, box):
        assert alice.mgm("PUT", f"{box}/f/").status == 501

    def test_attributes_and_times_come_with_the_put(self, alice, box):
        xattrs = quote("user.a=1#user.b=x=y#sys.c=3#user.d=p#AND#q", safe="")
        alice.put(f"{box}/f", b"x", f"eos.xattr={xattrs}&eos.mtime=1000000000.5")
        found = alice.stat(f"{box}/f")
        assert (found.xattrs["user.a"], found.xattrs["user.b"]) == (b"1", b"x=y")
        assert "sys.c" not in found.xattrs
        assert (found.mtime.sec, found.mtime.n_sec) == (10**9, 500_000_000)

    def test_layouts_by_query_unless_forced(self, eos, alice, box):
        alice.put(f"{box}/f", b"x", "eos.layout.type=replica&eos.layout.nstripes=2&eos.layout.checksum=md5")
        assert alice.stat(f"{box}/f").layout_id == 0x00100114
        assert len(alice.stat(f"{box}/f").locations) == 2
        eos.directory_at(f"{box}/d", uid=1000, gid=1000, xattrs={"sys.forced.layout": "plain"})
        alice.put(f"{box}/d/f", b"x", "eos.layout.type=replica&eos.layout.nstripes=2")
        assert alice.stat(f"{box}/d/f").layout_id == 0x00100002

    def test_a_checksum_that_does_not_match_removes_the_file(self, alice, box):
        assert alice.put(f"{box}/f", b"hello world", "eos.checksum=00000000").status == 412
        assert alice.missing(f"{box}/f")
        assert alice.put(f"{box}/f", b"hello world", "eos.checksum=1a0b045d").status == 201


class TestIdentity:
    """Section 3.4."""

    def put(self, eos, path, query="", **headers):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return http_request(f"{eos.mgm_url}{quote(path)}?{query}", "PUT", {"Content-Length": "0", **fields}).status

    def test_a_key_and_a_user_by_name_or_number(self, eos, alice, box):
        for number, user in enumerate(("alice", "1000", "alice@host")):
            headers = {"x_forwarded_for": "any", "X_Gateway_Authorization": eos.key, "Remote_User": user}
            assert self.put(eos, f"{box}/{number}", **headers) == 307
            assert alice.stat(f"{box}/{number}").uid == 1000

    def test_numbers_are_not_users_before_release_5_4(self, eos, box):
        eos.quirks(numeric_remote_user=False)
        try:
            headers = {"x_forwarded_for": "any", "x_gateway_authorization": eos.key, "remote_user": "1000"}
            assert self.put(eos, f"{box}/f", **headers) == 403
        finally:
            eos.quirks(numeric_remote_user=True)

    @pytest.mark.parametrize(
        "headers",
        [
            {"x_forwarded_for": "any", "x_gateway_authorization": "gateway-key", "remote_user": "<unknown>"},
            {"x_forwarded_for": "any", "x_gateway_authorization": "wrong", "remote_user": "alice"},
            {"x_forwarded_for": "any", "remote_user": "alice"},
            {"x_gateway_authorization": "gateway-key", "remote_user": "alice"},
            {},
        ],
        ids=["unknown user", "wrong key", "no key", "no x-forwarded-for", "nothing"],
    )
    def test_everybody_else_is_nobody(self, eos, box, headers):
        assert self.put(eos, f"{box}/f", **headers) == 403
        open_box = eos.directory_at(f"{box}/open", mode="777")
        assert self.put(eos, f"{open_box}/f", **headers) == 307
        assert eos.entry(f"{open_box}/f")["uid"] == 99

    def test_a_key_that_is_no_sudoers_drops_the_user(self, eos, box):
        headers = {"x_forwarded_for": "any", "x_gateway_authorization": eos.plain_key, "remote_user": "bob"}
        assert self.put(eos, f"{box}/f", **headers) == 307
        assert eos.entry(f"{box}/f")["uid"] == 1000

    def test_roles_must_be_allowed(self, eos, box):
        alice = {"x_forwarded_for": "any", "x_gateway_authorization": eos.key, "remote_user": "alice"}
        assert self.put(eos, f"{box}/own", "eos.ruid=1000&eos.rgid=2000", **alice) == 307
        assert eos.entry(f"{box}/own")["gid"] == 2000
        assert self.put(eos, f"{box}/other", "eos.ruid=1001&eos.rgid=1001", **alice) == 403

    def test_a_sudoer_may_name_anybody(self, eos, box):
        account = {"x_forwarded_for": "any", "x_gateway_authorization": eos.key}
        assert self.put(eos, f"{box}/f", "eos.ruid=1000&eos.rgid=1000", **account) == 307
        assert eos.entry(f"{box}/f")["uid"] == 1000

    def test_two_authorizations_are_a_conflict(self, eos, box):
        url = f"{eos.mgm_url}{quote(box)}?authz=zteos64:x"
        assert http_request(url, "GET", {"Authorization": "Bearer zteos64:y"}).status == 500


class TestRedirect:
    """Section 3.7."""

    def test_the_query_is_escaped_and_must_come_back_as_it_is(self, alice, box):
        alice.put(f"{box}/f", b"hello")
        location = alice.location("GET", f"{box}/f")
        query = urlsplit(location).query
        assert query.startswith("encURI=cap.key%3D")
        assert not set('+/=&#"') & set(query.partition("=")[2])
        assert http_request(location).body == b"hello"
        assert http_request(location.replace("%3D", "=").replace("%26", "&")).status == 500
        assert http_request(location.replace("%", "%25")).status == 500
        assert http_request(location.replace("?encURI", "?other")).status == 500

    def test_the_capability_decides_and_the_path_is_decoration(self, alice, box):
        alice.put(f"{box}/f", b"hello")
        location = alice.location("GET", f"{box}/f")
        assert http_request(location.replace(quote(box), "/elsewhere")).body == b"hello"
        assert capability(location)["access"] == "read"

    def test_the_fst_needs_no_key_and_counts_keys(self, eos, alice, box):
        eos.reset_counters()
        assert alice.put(f"{box}/f", b"x").status == 201
        assert "fst.leaked_keys" not in eos.counters()
        http_request(alice.location("GET", f"{box}/f"), headers=alice.headers)
        assert eos.counters()["fst.leaked_keys"] == 1
        assert eos.counters()["fst.leaked_identities"] == 1

    def test_a_capability_for_reading_is_none_for_writing(self, alice, box):
        alice.put(f"{box}/f", b"x")
        assert http_request(alice.location("GET", f"{box}/f"), "PUT", {"Content-Length": "1"}, b"y").status == 500

    def test_a_forged_capability(self, alice, box):
        alice.put(f"{box}/f", b"x")
        location = alice.location("GET", f"{box}/f")
        assert http_request(location.replace("cap.msg%3D", "cap.msg%3DQUJD")).status == 500

    def test_it_can_be_used_again(self, eos, alice, box):
        alice.put(f"{box}/f", b"x")
        location = alice.location("GET", f"{box}/f")
        assert http_request(location).body == http_request(location).body == b"x"
        assert eos.counters()["fst.capability_reused"] >= 1

    def test_hosts_that_were_tried_are_avoided(self, eos, alice, box):
        alice.put(f"{box}/f", b"x", "eos.layout.type=replica&eos.layout.nstripes=2")
        ports = {fst: f"127.0.0.1:{fst}" for fst in eos.fst_ports}
        for tried, other in zip(eos.fst_ports, reversed(eos.fst_ports), strict=True):
            location = alice.location("GET", f"{box}/f", f"tried={ports[tried]}")
            assert urlsplit(location).port == other


class TestPut:
    """Section 3.8: what a PUT does already when it is redirected."""

    def test_a_new_file_is_visible_and_empty(self, alice, box):
        alice.location("PUT", f"{box}/f")
        found = alice.stat(f"{box}/f")
        assert (found.size, len(found.locations), found.checksum.value) == (0, 1, bytes.fromhex("00000001"))

    def test_a_booked_one_has_no_place_yet(self, alice, box):
        alice.location("PUT", f"{box}/f", Content_Length="5", Expect="100-continue")
        found = alice.stat(f"{box}/f")
        assert (found.size, list(found.locations), found.checksum.value) == (0, [], b"")

    def test_an_overwrite_destroys_at_once(self, alice, box):
        alice.put(f"{box}/f", b"old", "eos.xattr=user.a=1")
        before = alice.stat(f"{box}/f")
        location = alice.location("PUT", f"{box}/f")
        after = alice.stat(f"{box}/f")
        assert (after.size, after.id > before.id, "user.a" in after.xattrs) == (0, True, False)
        assert http_request(location, "PUT", {"Content-Length": "3"}, b"new").status == 201
        assert alice.get(f"{box}/f").body == b"new"

    def test_an_overwrite_with_a_recycle_bin(self, eos, alice, box):
        eos.directory_at(f"{box}/r", uid=1000, gid=1000, xattrs={"sys.recycle": "1"})
        alice.put(f"{box}/r/f", b"old")
        alice.put(f"{box}/r/f", b"new")
        kept = alice.exec(recycle={"ls": {}}).recycle.recycles
        assert f"{box}/r/f".encode() in [item.id.path for item in kept]

    def test_an_overwrite_with_versions_keeps_the_last_ones(self, eos, alice, box):
        eos.directory_at(f"{box}/v", uid=1000, gid=1000, xattrs={"sys.versioning": "2"})
        for number in range(4):
            alice.put(f"{box}/v/f", b"%d" % number, "eos.xattr=user.a=1" if not number else "")
        kept = alice.names(f"{box}/v/.sys.v#.f")
        assert len(kept) == 2
        found = alice.stat(f"{box}/v/f")
        assert found.xattrs["user.a"] == b"1"
        assert sorted(alice.get(path).body for path in kept) == [b"1", b"2"]

    def test_an_atomic_upload_shows_at_its_close(self, alice, box):
        alice.put(f"{box}/f", b"old")
        location = alice.location("PUT", f"{box}/f", "eos.atomic=1")
        assert alice.get(f"{box}/f").body == b"old"
        assert any(name.startswith(f"{box}/.sys.a#.f.") for name in alice.names(box))
        assert http_request(location, "PUT", {"Content-Length": "3"}, b"new").status == 201
        assert alice.names(box) == [f"{box}/f"]
        assert alice.get(f"{box}/f").body == b"new"

    def test_an_atomic_upload_of_nothing(self, alice, box):
        alice.put(f"{box}/f", b"old")
        assert alice.put(f"{box}/f", b"", "eos.atomic=1").status == 201
        assert alice.stat(f"{box}/f").size == 0

    def test_a_directory_can_force_it(self, eos, alice, box):
        eos.directory_at(f"{box}/a", uid=1000, gid=1000, xattrs={"sys.forced.atomic": "1"})
        alice.location("PUT", f"{box}/a/f")
        assert alice.missing(f"{box}/a/f")

    def test_of_two_atomic_uploads_the_last_opener_wins(self, alice, box):
        first = alice.location("PUT", f"{box}/f", "eos.atomic=1")
        second = alice.location("PUT", f"{box}/f", "eos.atomic=1")
        assert http_request(second, "PUT", {"Content-Length": "1"}, b"2").status == 201
        late = http_request(first, "PUT", {"Content-Length": "1"}, b"1")
        assert (late.status, late.body.strip()) == (500, b"File close failed")
        assert alice.get(f"{box}/f").body == b"2"
        assert alice.names(box) == [f"{box}/f"]

    def test_the_older_one_loses_also_when_it_ends_first(self, alice, box):
        first = alice.location("PUT", f"{box}/f", "eos.atomic=1")
        second = alice.location("PUT", f"{box}/f", "eos.atomic=1")
        assert http_request(first, "PUT", {"Content-Length": "1"}, b"1").status == 500
        assert http_request(second, "PUT", {"Content-Length": "1"}, b"2").status == 201
        assert alice.get(f"{box}/f").body == b"2"

    def test_a_range_opens_an_existing_file_for_update(self, alice, box):
        alice.put(f"{box}/f", b"0123456789")
        before = alice.stat(f"{box}/f")
        location = alice.location("PUT", f"{box}/f", x_upload_range="bytes=0-1", x_upload_totalsize="10")
        assert capability(location)["access"] == "update"
        assert alice.stat(f"{box}/f") == before

    def test_parents_and_directories(self, alice, box):
        assert alice.mgm("PUT", f"{box}/none/f").status == 409
        assert alice.mgm("PUT", box).status == 500

    def test_a_body_at_the_mgm_becomes_the_next_request(self, eos, alice, box):
        target = alice.url(f"{box}/f").partition(eos.mgm_url)[2]
        lines = [f"PUT {target} HTTP/1.1", "Host: mgm", "Content-Length: 5"]
        lines += [f"{name}: {value}" for name, value in alice.headers.items()]
        data = ("\r\n".join(lines) + "\r\n\r\n").encode() + b"hello"
        with raw_connection(eos.mgm_url) as sock:
            sock.sendall(data + b"\r\n")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 307 ")
        assert b"HTTP/1.1 400 BAD_REQUEST" in answer
        eos.quirks(mgm_body="lenient")
        try:
            with raw_connection(eos.mgm_url) as sock:
                sock.sendall(data + data)
                answer = b""
                while answer.count(b"HTTP/1.1 307 ") < 2:
                    part = sock.recv(65536)
                    assert part, answer
                    answer += part
        finally:
            eos.quirks(mgm_body="strict")


class TestErrors:
    """Section 3.9."""

    def test_reasons_and_bodies(self, alice, bob, box):
        refused = bob.mgm("PUT", f"{box}/<f>")
        assert (refused.status, refused.reason) == (403, "FORBIDDEN")
        assert refused.headers["content-type"] == "text/html"
        assert refused.body == f"Unable to open file {box}/&lt;f&gt;; Permission denied\n".encode()
        assert alice.mgm("GET", f"{box}/none").reason == "NOT_FOUND"

    def test_quota(self, eos, alice, box):
        with Client(eos, 0, 0, key=eos.root_key) as root:
            quota = rpc.NSRequest.QuotaRequest(
                path=box.encode(), id=rpc.RoleId(uid=1000), op=rpc.SET, maxfiles=2, maxbytes=100
            )
            assert root.exec(quota=quota).quota.code == 0
        assert alice.put(f"{box}/1", b"x").status == 201
        too_big = alice.mgm("PUT", f"{box}/2", Content_Length="1000", Expect="100-continue")
        assert (too_big.status, too_big.reason) == (507, "UNKNOWN_RESPONSE_CODE")
        assert too_big.body.startswith(b"Unable to get quota space - quota not defined or exhausted ")
        assert alice.put(f"{box}/2", b"x").status == 201
        assert alice.mgm("PUT", f"{box}/3").status == 507
        alice.unlink(f"{box}/1")
        assert alice.mgm("PUT", f"{box}/3").status == 307

    def test_sizes_that_a_directory_does_not_allow(self, eos, alice, box):
        eos.directory_at(f"{box}/s", uid=1000, gid=1000, xattrs={"sys.forced.minsize": "2", "sys.forced.maxsize": "4"})
        assert alice.mgm("PUT", f"{box}/s/f", Content_Length="5", Expect="100-continue").status == 507
        assert [alice.put(f"{box}/s/f", b"x" * size).status for size in (1, 2, 4, 5)] == [500, 201, 201, 500]


class TestProc:
    """Sections 3.10 and 5."""

    def proc(self, eos, client, query):
        url = f"{eos.mgm_url}/proc/user/?{query}&eos.ruid={client.uid}&eos.rgid={client.gid}"
        return http_request(url, "GET", client.headers)

    def test_copy(self, eos, alice, bob, box):
        alice.put(f"{box}/a", b"content", "eos.xattr=user.a=1")
        query = f"mgm.cmd=file&mgm.subcmd=copy&mgm.path={quote(box)}/a&mgm.file.target={quote(box)}/b"
        assert b"mgm.proc.retc=0" in self.proc(eos, alice, query).body
        assert alice.get(f"{box}/b").body == b"content"
        found = alice.stat(f"{box}/b")
        assert (found.size, "user.a" in found.xattrs, len(found.checksums)) == (7, False, 2)
        assert b"mgm.proc.retc=17" in self.proc(eos, alice, query).body
        assert b"mgm.proc.retc=0" in self.proc(eos, alice, query + "&mgm.file.option=fs").body
        answer = json.loads(self.proc(eos, bob, query + "&mgm.format=json&mgm.file.option=f").body)
        assert answer["retc"] == "13"

    def test_rename_overwrites(self, eos, alice, box):
        alice.put(f"{box}/a", b"1")
        alice.put(f"{box}/b", b"2")
        query = f"mgm.cmd=file&mgm.subcmd=rename&mgm.path={quote(box)}/a&mgm.file.target={quote(box)}/b"
        assert b"mgm.proc.retc=0" in self.proc(eos, alice, query).body
        assert alice.get(f"{box}/b").body == b"1"

    def test_touch_makes_a_file_with_a_layout(self, eos, alice, box):
        self.proc(eos, alice, f"mgm.cmd=file&mgm.subcmd=touch&mgm.path={quote(box)}/t")
        found = alice.stat(f"{box}/t")
        assert (found.layout_id, len(found.locations)) == (0x00100002, 1)

    def test_others_are_unknown_and_admins_only(self, eos, alice):
        assert b"mgm.proc.retc=22" in self.proc(eos, alice, "mgm.cmd=fs&mgm.subcmd=ls").body
        assert http_request(f"{eos.mgm_url}/proc/admin/?mgm.cmd=fs", "GET", alice.headers).status == 403


def test_a_connection_is_kept(eos, alice, box):
    port = urlsplit(eos.mgm_url).port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for number in range(3):
        connection.request("PUT", alice.url(f"{box}/{number}").partition(eos.mgm_url)[2], headers=alice.headers)
        response = connection.getresponse()
        response.read()
        assert response.status == 307
        assert response.getheader("Connection") == "Keep-Alive"
    connection.close()
