"""Sections 2.6 (quota, versions, recycle bin), 2.7, 5, 6 and the restart of the emulator."""

import time

import grpc
import pytest

from backends.eos.proto import console_pb2 as console
from backends.eos.proto import namespace_pb2 as rpc
from tests.support.eos import Client, Emulator, eventually, http_request


@pytest.fixture(scope="module")
def eos(tmp_path_factory):
    with Emulator(tmp_path_factory.mktemp("eos"), "--release", "master") as running:
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
def root(eos):
    with Client(eos, 0, 0, key=eos.root_key) as client:
        yield client


@pytest.fixture
def box(eos, request):
    return eos.directory_at(f"{eos.home('alice')}/{request.node.name}", uid=1000, gid=1000, mode="755")


def path_id(path):
    return rpc.MDId(path=path.encode())


class TestTokens:
    """Section 6."""

    def issue(self, client, path, permission="rwxd", *, tree=True, lifetime=60, **rest):
        token = rpc.ShareProto(
            path=path, permission=permission, expires=int(time.time()) + lifetime, allowtree=tree, **rest
        )
        return client.run(token=rpc.NSRequest.TokenRequest(token=rpc.ShareToken(token=token)))

    def test_a_token_for_a_tree_carries_data_by_http(self, eos, alice, box):
        code, token = self.issue(alice, f"{box}/")
        assert code == 0
        assert token.startswith("zteos64:")
        bearer = {"Authorization": f"Bearer {token}", "Content-Length": "0"}
        reply = http_request(f"{eos.mgm_url}{box}/f", "PUT", bearer)
        assert reply.status == 307
        assert http_request(reply.headers["location"], "PUT", {"Content-Length": "1"}, b"x").status == 201
        assert alice.stat(f"{box}/f").uid == 1000
        assert http_request(f"{eos.mgm_url}{box}/f?authz={token}").status == 307
        assert http_request(f"{eos.mgm_url}/{token}{box}/f").status == 307

    def test_it_ends_at_its_tree_and_at_its_permission(self, eos, alice, box):
        alice.put(f"{box}/f", b"x")
        _, token = self.issue(alice, f"{box}/", "rx")
        bearer = {"Authorization": f"Bearer {token}", "Content-Length": "0"}
        assert http_request(f"{eos.mgm_url}{box}/f", "GET", bearer).status == 307
        assert http_request(f"{eos.mgm_url}{box}/f", "PUT", bearer).status == 403
        other = eos.directory_at(f"{eos.home('alice')}/other", uid=1000, gid=1000)
        alice.put(f"{other}/f", b"x")
        assert http_request(f"{eos.mgm_url}{other}/f", "GET", bearer).status == 403
        _, exact = self.issue(alice, f"{box}/f", "rx", tree=False)
        bearer["Authorization"] = f"Bearer {exact}"
        assert http_request(f"{eos.mgm_url}{box}/f", "GET", bearer).status == 307
        alice.put(f"{box}/g", b"x")
        assert http_request(f"{eos.mgm_url}{box}/g", "GET", bearer).status == 403

    def test_mode_bits_do_not_count_with_a_token(self, eos, alice, box):
        eos.directory_at(f"{box}/closed", uid=1000, gid=1000, mode="700")
        alice.put(f"{box}/closed/f", b"x")
        _, token = self.issue(alice, f"{box}/", "rx")
        with Client(eos, 0, 0, key=token) as holder:
            assert holder.stat(f"{box}/closed/f").size == 1
            assert holder.names(f"{box}/closed") == [f"{box}/closed/f"]
            assert holder.unlink(f"{box}/closed/f")[0] == 1

    def test_a_holder_of_rwxd_may_change_things_by_grpc(self, eos, alice, box):
        _, token = self.issue(alice, f"{box}/")
        with Client(eos, 1000, 1000, key=token) as holder:
            assert holder.mkdir(f"{box}/new", recursive=False)[0] == 0
            alice.put(f"{box}/f", b"x")
            assert holder.unlink(f"{box}/f")[0] == 0

    @pytest.mark.parametrize(
        ("permission", "lifetime", "code"), [("rwxm", 60, 1), ("rwx", -1, 22), ("rwx", 400 * 86400, 22)]
    )
    def test_what_is_not_given(self, alice, box, permission, lifetime, code):
        assert self.issue(alice, f"{box}/", permission, lifetime=lifetime)[0] == code

    def test_nobody_gives_rights_that_he_does_not_have(self, bob, box):
        assert self.issue(bob, f"{box}/", "rwx")[0] == 13
        assert self.issue(bob, f"{box}/", "rx")[0] == 0

    def test_owners_are_the_requester(self, alice, box):
        _, token = self.issue(alice, f"{box}/", owner="bob", group="bob")
        code, text = alice.run(
            token=rpc.NSRequest.TokenRequest(token=rpc.ShareToken(token=rpc.ShareProto(vtoken=token)))
        )
        assert code == 0
        assert '"owner": "alice"' in text

    def test_a_token_cannot_give_tokens(self, eos, alice, box):
        _, token = self.issue(alice, f"{box}/")
        with Client(eos, 1000, 1000, key=token) as holder:
            assert self.issue(holder, f"{box}/")[0] == 13

    def test_generations(self, eos, alice, box):
        alice.put(f"{box}/f", b"x")
        _, token = self.issue(alice, f"{box}/")
        bearer = {"Authorization": f"Bearer {token}"}
        try:
            eos.quirks(token_generation=2)
            assert http_request(f"{eos.mgm_url}{box}/f", "PUT", {**bearer, "Content-Length": "0"}).status == 403
            eos.quirks(token_generation=0)
            code, text = self.issue(alice, f"{box}/")
            assert (code, text.startswith("error: change the generation value != 0")) == (1, True)
        finally:
            eos.quirks(token_generation=1)

    def test_expiry_and_origin(self, eos, alice, box):
        _, short = self.issue(alice, f"{box}/", lifetime=1)
        _, elsewhere = self.issue(alice, f"{box}/", origins=[rpc.ShareAuth(host="192\\.0\\.2\\.1")])
        url, fields = f"{eos.mgm_url}{box}/f", {"Content-Length": "0"}
        assert http_request(url, "PUT", {**fields, "Authorization": f"Bearer {elsewhere}"}).status == 403

        def expired():
            return http_request(url, "PUT", {**fields, "Authorization": f"Bearer {short}"}).status == 403

        eventually(expired)


class TestQuota:
    """Section 2.6, quota."""

    def change(self, client, path, **rest):
        return client.exec(quota=rpc.NSRequest.QuotaRequest(path=path.encode(), **rest)).quota

    def test_set_get_and_remove(self, root, alice, bob, box):
        role = rpc.RoleId(username="alice")
        assert self.change(root, box, id=role, op=rpc.SET, maxbytes=1000, maxfiles=10).code == 0
        alice.put(f"{box}/f", b"12345")
        (found,) = self.change(alice, box, id=role).quotanode
        assert (found.path, found.name, found.type) == (f"{box}/".encode(), "alice", rpc.USER)
        assert (found.usedbytes, found.usedfiles, found.maxbytes, found.maxfiles) == (5, 1, 1000, 10)
        assert (found.statusbytes, found.percentageusedfiles) == ("ok", 10)
        alice.unlink(f"{box}/f")
        assert self.change(alice, f"{box}", id=role).quotanode[0].usedfiles == 0
        refused = self.change(bob, box, id=role, op=rpc.SET, maxbytes=1)
        assert (refused.code, refused.msg.startswith("Quota Command Failed: ")) == (-1, True)
        assert self.change(root, box, id=role, op=rpc.RM).code == 0
        assert self.change(root, box, op=rpc.RMNODE).code == 0
        assert self.change(root, box, op=rpc.RMNODE).code == -22
        assert len(self.change(alice, box, id=role).quotanode) == 0

    def test_replicas_count_and_a_project_is_for_all(self, eos, root, alice, box):
        eos.directory_at(box, xattrs={"sys.forced.layout": "replica"})
        assert self.change(root, box, id=rpc.RoleId(gid=99), op=rpc.SET, maxbytes=10).code == 0
        alice.put(f"{box}/f", b"12345")
        found = {node.type: node for node in self.change(root, box).quotanode}
        assert (found[rpc.PROJECT].usedbytes, found[rpc.PROJECT].usedlogicalbytes) == (10, 5)
        assert found[rpc.PROJECT].statusbytes == "exceeded"
        assert alice.mgm("PUT", f"{box}/g").status == 507

    def test_a_node_without_quota_for_somebody_refuses_him(self, root, alice, box):
        self.change(root, box, id=rpc.RoleId(uid=4711), op=rpc.SET, maxbytes=10)
        assert alice.mgm("PUT", f"{box}/g").status == 507


class TestVersions:
    """Section 2.6, version."""

    kinds = rpc.NSRequest.VersionRequest

    def run(self, client, path, command, **rest):
        request = self.kinds(id=path_id(path), cmd=command, **rest)
        return client.exec(version=request).version

    def test_create_list_grab_and_purge(self, alice, bob, box):
        path = f"{box}/f"
        assert len(self.run(alice, path, self.kinds.LIST).versions) == 0
        alice.put(path, b"one")
        first = alice.stat(path)
        assert self.run(alice, path, self.kinds.CREATE).code == 0
        (version,) = self.run(alice, path, self.kinds.LIST).versions
        directory, _, name = version.id.path.partition(b"/")
        assert directory == b".sys.v#.f"
        assert name == b"%d.%08x" % (first.ctime.sec, first.id)
        alice.put(path, b"two")
        refused = self.run(bob, path, self.kinds.CREATE)
        assert refused.code < 0
        assert refused.msg.startswith("Creation failed: ")
        assert self.run(bob, path, self.kinds.GRAB, grabversion=name.decode()).code == 1
        assert self.run(alice, path, self.kinds.GRAB, grabversion=name.decode()).code == 0
        assert alice.get(path).body == b"one"
        assert self.run(alice, path, self.kinds.GRAB, grabversion="1.00000001").code == 2
        assert self.run(alice, path, self.kinds.PURGE, maxversion=0).code == 0
        assert len(self.run(alice, path, self.kinds.LIST).versions) == 0

    def test_a_command_that_is_unknown_purges_nothing(self, alice, box):
        alice.put(f"{box}/f", b"one")
        assert self.run(alice, f"{box}/f", self.kinds.CREATE).code == 0
        for command in (self.kinds.CREATE_FOLDER, 99):
            assert self.run(alice, f"{box}/f", command).code == 22
        assert len(self.run(alice, f"{box}/f", self.kinds.LIST).versions) == 1

    def test_unlink_removes_them_too(self, eos, alice, box):
        eos.directory_at(box, xattrs={"sys.versioning": "3"})
        alice.put(f"{box}/f", b"1")
        alice.put(f"{box}/f", b"2")
        assert alice.unlink(f"{box}/f")[0] == 0
        assert alice.names(box) == []


class TestRecycle:
    """Section 2.6, recycle."""

    @pytest.fixture
    def bin_box(self, eos, box):
        return eos.directory_at(box, xattrs={"sys.recycle": "/recycle"})

    def items(self, client, path):
        found = client.exec(recycle=console.RecycleProto(ls=console.RecycleProto.LsProto())).recycle.recycles
        return [item for item in found if item.id.path.startswith(path.encode())]

    def restore(self, client, key, **flags):
        command = console.RecycleProto(restore=console.RecycleProto.RestoreProto(Key=key, **flags))
        return client.exec(recycle=command).recycle

    def test_a_file_goes_there_and_comes_back(self, eos, alice, bob, bin_box):
        alice.put(f"{bin_box}/f", b"content")
        assert alice.unlink(f"{bin_box}/f")[0] == 0
        (item,) = self.items(alice, bin_box)
        assert (item.size, item.owner.uid, item.owner.username) == (7, 1000, "alice")
        assert item.type == rpc.NSResponse.RecycleResponse.RecycleInfo.FILE
        now = time.gmtime()
        shelf = f"/recycle/uid:1000/{now.tm_year:04}/{now.tm_mon:02}/{now.tm_mday:02}/0"
        assert f"{bin_box.replace('/', '#:#')}#:#f.{item.key}" in eos.entry(shelf)["children"]
        assert self.restore(bob, item.key).code == 2
        assert self.restore(alice, item.key).code == 0
        assert alice.get(f"{bin_box}/f").body == b"content"

    def test_a_tree_goes_as_one_unit(self, alice, bin_box):
        alice.mkdir(f"{bin_box}/d/e")
        alice.put(f"{bin_box}/d/e/f", b"content")
        assert alice.rm(f"{bin_box}/d", recursive=True)[0] == 0
        (item,) = self.items(alice, bin_box)
        assert item.key.endswith(".d")
        assert self.restore(alice, f"pxid:{item.key.removesuffix('.d')}").code == 0
        assert alice.get(f"{bin_box}/d/e/f").body == b"content"

    def test_what_is_in_place_or_missing_when_it_comes_back(self, alice, bin_box):
        alice.mkdir(f"{bin_box}/d")
        alice.put(f"{bin_box}/d/f", b"old")
        alice.unlink(f"{bin_box}/d/f")
        alice.put(f"{bin_box}/d/f", b"new")
        (item,) = self.items(alice, bin_box)
        assert self.restore(alice, item.key).code == 17
        assert self.restore(alice, item.key, ForceOrigName=True).code == 0
        assert alice.get(f"{bin_box}/d/f").body == b"old"
        assert len(alice.names(f"{bin_box}/d")) == 2
        alice.rm(f"{bin_box}/d", recursive=True)
        (tree,) = self.items(alice, bin_box)
        assert self.restore(alice, tree.key, MakePath=True).code == 0

    def test_norecycle_and_purge(self, alice, root, bin_box):
        alice.put(f"{bin_box}/f", b"x")
        alice.unlink(f"{bin_box}/f", norecycle=True)
        assert self.items(alice, bin_box) == []
        alice.put(f"{bin_box}/f", b"x")
        alice.unlink(f"{bin_box}/f")
        (item,) = self.items(alice, bin_box)
        purge = console.RecycleProto(purge=console.RecycleProto.PurgeProto(Key=item.key))
        assert alice.exec(recycle=purge).recycle.code == 0
        assert self.items(alice, bin_box) == []

    def test_versions_come_back_when_asked(self, eos, alice, bin_box):
        eos.directory_at(bin_box, xattrs={"sys.versioning": "3"})
        alice.put(f"{bin_box}/f", b"1")
        alice.put(f"{bin_box}/f", b"2")
        alice.unlink(f"{bin_box}/f")
        (item,) = (item for item in self.items(alice, bin_box) if item.id.path.endswith(b"/f"))
        assert self.restore(alice, item.key, RestoreVersions=True).code == 0
        assert len(alice.names(f"{bin_box}/.sys.v#.f")) == 1

    def test_the_older_form_of_the_command(self, alice, bin_box):
        alice.put(f"{bin_box}/f", b"x")
        alice.unlink(f"{bin_box}/f")
        kinds = rpc.NSRequest.RecycleRequest
        listed = alice.exec(old_recycle=kinds(cmd=kinds.LIST)).recycle.recycles
        (item,) = (item for item in listed if item.id.path.startswith(bin_box.encode()))
        assert alice.exec(old_recycle=kinds(cmd=kinds.RESTORE, key=item.key)).recycle.code == 0
        assert alice.stat(f"{bin_box}/f")


class TestFileCommand:
    """Sections 2.7 and 5."""

    def run(self, client, path, **command):
        reply = client.exec(file=console.FileProto(md=console.Metadata(path=path.encode()), **command))
        return reply.file

    def test_copy(self, alice, bob, box):
        alice.put(f"{box}/a", b"content", "eos.xattr=user.a=1")
        source = alice.stat(f"{box}/a")
        copied = self.run(alice, f"{box}/a", copy=console.FileCopyProto(dst=f"{box}/b", clone=True))
        assert copied.code == 0
        made = alice.stat(f"{box}/b")
        assert (made.size, made.etag.partition(":")[2], made.mtime) == (7, source.etag.partition(":")[2], source.mtime)
        assert "user.a" not in made.xattrs
        assert alice.get(f"{box}/b").body == b"content"
        assert self.run(alice, f"{box}/a", copy=console.FileCopyProto(dst=f"{box}/b")).code == 17
        assert self.run(alice, f"{box}/a", copy=console.FileCopyProto(dst=f"{box}/b", force=True)).code == 0
        assert self.run(bob, f"{box}/a", copy=console.FileCopyProto(dst=f"{box}/c")).code == 13
        assert self.run(alice, f"{box}/none", copy=console.FileCopyProto(dst=f"{box}/c")).code == 2

    def test_copy_of_nothing(self, alice, box):
        alice.put(f"{box}/a", b"")
        assert self.run(alice, f"{box}/a", copy=console.FileCopyProto(dst=f"{box}/b")).code == 0
        assert alice.stat(f"{box}/b").size == 0

    def test_rename_overwrites(self, alice, box):
        alice.put(f"{box}/a", b"1")
        alice.put(f"{box}/b", b"2")
        assert self.run(alice, f"{box}/a", rename=console.FileRenameProto(new_path=f"{box}/b")).code == 0
        assert alice.get(f"{box}/b").body == b"1"
        assert alice.names(box) == [f"{box}/b"]

    def test_touch_has_a_layout(self, alice, box):
        assert self.run(alice, f"{box}/x/t", touch=console.FileTouchProto(parents=True)).code == 0
        assert len(alice.stat(f"{box}/x/t").locations) == 1
        assert self.run(alice, f"{box}/n", touch=console.FileTouchProto(nolayout=True)).code == 0
        assert alice.stat(f"{box}/n").layout_id == 0

    def test_what_it_does_not_know(self, alice, box):
        alice.put(f"{box}/a", b"1")
        assert self.run(alice, f"{box}/a", convert=console.FileConvertProto()).code == 22

    def test_older_releases_do_not_have_it(self, eos, alice, box):
        eos.quirks(file_command=False)
        try:
            request = console.FileProto(
                md=console.Metadata(path=box.encode()), copy=console.FileCopyProto(dst=f"{box}/b")
            )
            assert alice.run(file=request) == (22, "error: command not supported")
        finally:
            eos.quirks(file_command=True)


class TestRestart:
    """Section 8: the state is on disk."""

    @pytest.mark.parametrize("end", ["stop", "kill"])
    def test_everything_is_there_again(self, tmp_path, end):
        with Emulator(tmp_path) as eos, Client(eos, 1000, 1000) as alice, Client(eos, 0, 0, key=eos.root_key) as root:
            home = eos.home("alice")
            alice.mkdir(f"{home}/d")
            alice.put(f"{home}/d/f", b"content", "eos.xattr=user.a=1")
            alice.put(f"{home}/d/gone", b"x")
            alice.unlink(f"{home}/d/gone")
            quota = rpc.NSRequest.QuotaRequest(
                path=f"{home}/d".encode(), id=rpc.RoleId(uid=1000), op=rpc.SET, maxbytes=100
            )
            assert root.exec(quota=quota).quota.code == 0
            before, directory = alice.stat(f"{home}/d/f"), alice.stat(f"{home}/d")
            location = alice.location("GET", f"{home}/d/f")
            getattr(eos, end)()
            eos.start()

            def back():
                try:
                    return alice.stat(f"{home}/d/f")
                except grpc.RpcError:
                    return None

            assert eventually(back) == before
            assert alice.stat(f"{home}/d").id == directory.id
            assert alice.stat(f"{home}/d").tree_size == 7
            assert alice.missing(f"{home}/d/gone")
            # Capabilities live on, since their key does.
            assert http_request(location).body == b"content"
            found = root.exec(quota=rpc.NSRequest.QuotaRequest(path=f"{home}/d".encode())).quota.quotanode
            assert {node.name: node.usedbytes for node in found}["alice"] == 7
            alice.put(f"{home}/d/g", b"x")
            assert alice.stat(f"{home}/d/g").id > before.id + 1, "ids are never used again"

    def test_an_open_upload_is_an_interrupted_one(self, tmp_path):
        with Emulator(tmp_path) as eos, Client(eos, 1000, 1000) as alice:
            path = f"{eos.home('alice')}/f"
            alice.put(path, b"old")
            location = alice.location("PUT", path, "eos.atomic=1")
            eos.kill()
            eos.start()
            eventually(lambda: _stat_works(alice, path))
            assert alice.get(path).body == b"old"
            assert http_request(location, "PUT", {"Content-Length": "3"}, b"new").status == 201
            assert alice.get(path).body == b"new"


def _stat_works(client, path):
    try:
        return client.stat(path)
    except grpc.RpcError:
        return None


def test_sizes_of_trees_arrive_late(tmp_path):
    """Section 2.3: `tree_size` is some seconds late."""
    with Emulator(tmp_path, "--quirk", "accounting_delay=0.4") as eos, Client(eos) as alice:
        home = eos.home("alice")
        alice.put(f"{home}/f", b"12345")
        assert alice.stat(home).tree_size == 0
        eventually(lambda: alice.stat(home).tree_size == 5)


def test_times_of_trees_arrive_where_they_are_asked_for(tmp_path):
    """Section 2.3: `stime` propagates only with `sys.mtime.propagation`."""
    with Emulator(tmp_path, "--quirk", "accounting_delay=0") as eos, Client(eos) as alice:
        home = eos.home("alice")
        eos.directory_at(f"{home}/p", uid=1000, gid=1000, xattrs={"sys.mtime.propagation": "1"})
        eos.directory_at(f"{home}/q/d", uid=1000, gid=1000)
        eos.directory_at(f"{home}/p/d", uid=1000, gid=1000)
        before, other = alice.stat(f"{home}/p").etag, alice.stat(f"{home}/q").etag
        time.sleep(0.01)
        alice.mkdir(f"{home}/p/d/e")
        alice.mkdir(f"{home}/q/d/e")
        assert alice.stat(f"{home}/p").etag != before
        assert alice.stat(f"{home}/q").etag == other
