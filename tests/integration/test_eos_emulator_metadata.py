"""Sections 2.1 to 2.4 of the protocol reference: identity, MD and Find of the emulator."""

import grpc
import pytest

from backends.eos.emulator.entries import LEGACY_INODE_SHIFT
from backends.eos.proto import namespace_pb2 as rpc
from tests.support.eos import Client, Emulator

UNKNOWN, DENIED = grpc.StatusCode.UNKNOWN, grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture(scope="module")
def eos(tmp_path_factory):
    with Emulator(tmp_path_factory.mktemp("eos"), "--quirk", "accounting_delay=0") as running:
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


def refused(call, *arguments, **keywords):
    """Status and text of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **keywords)
    return caught.value.code(), caught.value.details()


class TestIdentity:
    """Section 2.2."""

    def test_ping_is_an_echo_and_needs_no_key(self, alice):
        assert alice.stub.Ping(rpc.PingRequest(message=b"\x00hello")).message == b"\x00hello"

    def test_an_empty_role_on_stat_is_root_for_a_sudoer(self, eos, box):
        eos.directory_at(f"{box}/closed", mode="700")
        with Client(eos, 0, 0) as root:
            assert root.stat(f"{box}/closed").mode == 0o40700

    def test_an_empty_role_on_a_listing_is_the_keys_own_account(self, eos, box):
        eos.directory_at(f"{box}/closed", uid=1000, mode="700")
        with Client(eos, 0, 0) as account:
            assert refused(account.find, f"{box}/closed")[0] is DENIED
            assert refused(account.md, f"{box}/closed", rpc.LISTING)[0] is DENIED

    def test_an_empty_role_on_exec_is_no_sudo_to_root(self, eos, box):
        with Client(eos, 0, 0) as account:
            code, text = account.mkdir(f"{box}/new")
        assert code == 1, text

    def test_the_role_of_a_sudoer_decides(self, alice, bob, box):
        assert alice.mkdir(f"{box}/mine")[0] == 0
        assert alice.stat(f"{box}/mine").uid == 1000
        assert bob.mkdir(f"{box}/his")[0] == 1

    def test_another_role_of_somebody_who_is_no_sudoer_is_refused(self, eos, box):
        with Client(eos, 1001, 1001, key=eos.plain_key) as plain:
            assert refused(plain.md, box) == (
                DENIED,
                "Ask an admin to map your auth key to a sudo'er account - permission denied",
            )
            assert refused(plain.find, box)[0] is DENIED
            assert plain.mkdir(f"{box}/x")[0] == 1

    def test_the_own_role_needs_no_sudo(self, eos, box):
        with Client(eos, 1000, 1000, key=eos.plain_key) as plain:
            assert plain.mkdir(f"{box}/x")[0] == 0

    def test_an_unknown_key_is_nobody_and_not_refused(self, eos, box):
        with Client(eos, 99, 99, key="no such key") as nobody:
            assert nobody.stat(box).uid == 1000
            assert nobody.mkdir(f"{box}/x")[0] == 1

    def test_a_peer_that_is_no_gateway_is_nobody(self, tmp_path):
        users = (
            'gateways = ["192.0.2.1"]\n[[user]]\nname = "gateway"\nuid = 1\ngid = 1\n'
            '[[key]]\nkey = "gateway-key"\nuser = "gateway"\n'
        )
        with Emulator(tmp_path, users=users) as strict, Client(strict, 99, 99) as nobody:
            assert nobody.stat("/eos/dev").uid == 0
            assert refused(Client(strict, 1, 1).md, "/eos/dev")[0] is DENIED

    def test_nsstat_is_for_sudoers(self, eos, alice):
        assert alice.stub.NsStat(rpc.NsStatRequest(authkey=eos.key)).state == "booted"
        refusal = alice.stub.NsStat(rpc.NsStatRequest(authkey=eos.plain_key))
        assert (refusal.code, refusal.emsg) == (1, "Not a sudoer, refusing to run command")

    @pytest.mark.parametrize("method", ["Notify", "Notification"])
    def test_notifications_are_not_implemented(self, alice, method):
        call = getattr(alice.stub, method)
        with pytest.raises(grpc.RpcError) as caught:
            list(call(rpc.NotificationRequest()))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


class TestMd:
    """Section 2.3."""

    @pytest.mark.parametrize("kind", [rpc.FILE, rpc.CONTAINER])
    def test_a_missing_file_or_container_is_an_empty_stream(self, alice, box, kind):
        assert alice.md(f"{box}/nothing", kind) == []

    @pytest.mark.parametrize("kind", [rpc.STAT, rpc.LISTING])
    def test_a_missing_stat_or_listing_is_status_2(self, alice, box, kind):
        assert refused(alice.md, f"{box}/nothing", kind) == (UNKNOWN, "No such file or directory")

    def test_a_missing_container_by_id_is_status_2_and_a_missing_file_is_empty(self, alice):
        assert refused(alice.md, kind=rpc.CONTAINER, id=rpc.MDId(id=10**9))[0] is UNKNOWN
        assert alice.md(kind=rpc.FILE, id=rpc.MDId(id=10**9)) == []

    def test_a_path_through_a_file_is_unknown_too(self, alice, box):
        alice.put(f"{box}/f", b"x")
        assert refused(alice.md, f"{box}/f/below")[0] is UNKNOWN

    def test_a_file_is_no_container_and_the_other_way_round(self, alice, box):
        alice.put(f"{box}/f", b"x")
        assert alice.md(f"{box}/f", rpc.CONTAINER) == []
        assert alice.md(box, rpc.FILE) == []

    def test_fields_of_a_file(self, alice, box):
        alice.put(f"{box}/f", b"hello world")
        found = alice.stat(f"{box}/f")
        assert (found.name, found.path) == (b"f", f"{box}/f".encode())
        assert (found.uid, found.gid, found.size, found.flags, found.layout_id) == (1000, 1000, 11, 0o644, 0x00100002)
        assert found.inode == found.id << LEGACY_INODE_SHIFT
        assert found.checksum.value == bytes.fromhex("1a0b045d") + bytes(28)
        assert found.checksums[0] == found.checksum
        assert [(c.type, c.value) for c in found.checksums[1:]] == [("md5", b"5eb63bbbe01eeed093cb22bb8f5acdc3")]
        assert found.etag == f'"{found.inode}:1a0b045d"'
        assert len(found.locations) == 1
        assert found.xattrs["sys.eos.btime"]

    def test_an_empty_file_that_was_never_committed_has_the_exact_checksum(self, alice, box):
        alice.put(f"{box}/f", b"")
        found = alice.stat(f"{box}/f")
        assert found.checksum.value == bytes.fromhex("00000001")
        assert [c.type for c in found.checksums] == ["adler32"]

    def test_fields_of_a_container(self, alice, box):
        alice.put(f"{box}/f", b"12345")
        alice.mkdir(f"{box}/d", 0o750)
        found = alice.stat(box)
        assert (found.path, found.name) == (f"{box}/".encode(), box.rpartition("/")[2].encode())
        assert (found.files, found.containers, found.tree_size, found.inode) == (1, 1, 5, found.id)
        assert alice.stat(f"{box}/d").mode == 0o40750
        assert found.etag.startswith(f"{found.id:x}:")
        assert '"' not in found.etag

    def test_md5_layouts_have_the_bare_digest_as_etag(self, alice, box, eos):
        eos.directory_at(f"{box}/md5", uid=1000, gid=1000, xattrs={"sys.forced.checksum": "md5"})
        alice.put(f"{box}/md5/f", b"hello world")
        found = alice.stat(f"{box}/md5/f")
        assert found.etag == '"5eb63bbbe01eeed093cb22bb8f5acdc3"'
        assert found.checksum.type == "md5"
        assert found.checksum.value == bytes.fromhex("5eb63bbbe01eeed093cb22bb8f5acdc3") + bytes(16)

    def test_look_up_goes_by_inode_then_id_then_path(self, alice, box):
        alice.put(f"{box}/a", b"1")
        alice.put(f"{box}/b", b"2")
        a, b = alice.stat(f"{box}/a"), alice.stat(f"{box}/b")
        path = f"{box}/b".encode()
        assert alice.md(kind=rpc.FILE, id=rpc.MDId(ino=a.inode, id=b.id, path=path))[0].fmd.name == b"a"
        assert alice.md(kind=rpc.FILE, id=rpc.MDId(id=a.id, path=path))[0].fmd.name == b"a"
        assert alice.md(kind=rpc.FILE, id=rpc.MDId(ino=a.id | 1 << 63))[0].fmd.name == b"a"

    def test_links_are_followed(self, alice, box):
        alice.put(f"{box}/f", b"data")
        alice.run(symlink=rpc.NSRequest.SymlinkRequest(id=rpc.MDId(path=f"{box}/l".encode()), target=b"f"))
        alice.run(symlink=rpc.NSRequest.SymlinkRequest(id=rpc.MDId(path=f"{box}/dead".encode()), target=b"nowhere"))
        assert alice.stat(f"{box}/l").name == b"f"
        assert alice.missing(f"{box}/dead")
        (listed,) = (item.fmd for item in alice.find(box) if item.fmd.name == b"dead")
        assert (listed.link_name, listed.size) == (b"nowhere", 0)

    def test_a_loop_of_links_ends(self, alice, box):
        for name, target in (("a", b"b"), ("b", b"a")):
            link = rpc.NSRequest.SymlinkRequest(id=rpc.MDId(path=f"{box}/{name}".encode()), target=target)
            assert alice.run(symlink=link)[0] == 0
        assert refused(alice.md, f"{box}/a")[0] is UNKNOWN

    def test_permissions_are_those_of_the_direct_parent(self, eos, alice, bob, box):
        eos.directory_at(f"{box}/closed", uid=1000, gid=1000, mode="700")
        alice.put(f"{box}/closed/f", b"x")
        assert refused(bob.md, f"{box}/closed/f") == (DENIED, "access to parent container denied")
        assert refused(bob.md, f"{box}/closed") == (DENIED, "access to container denied")
        # The container's own type asks its parent, which is open.
        assert len(bob.md(f"{box}/closed", rpc.CONTAINER)) == 1
        eos.directory_at(f"{box}/closed/open", uid=1000, gid=1000, mode="755")
        assert bob.stat(f"{box}/closed/open").mode == 0o40755

    def test_an_acl_opens_what_mode_bits_close(self, eos, bob, box):
        eos.directory_at(f"{box}/closed", uid=1000, mode="700", xattrs={"sys.acl": "u:1001:rx"})
        assert bob.names(f"{box}/closed") == []

    def test_an_unknown_type_is_an_invalid_argument(self, alice, box):
        assert refused(alice.md, box, 9) == (grpc.StatusCode.INVALID_ARGUMENT, "request is not supported")

    def test_names_are_bytes(self, alice, box):
        path = f"{box}/".encode() + b"\xff\xfe"
        assert alice.put(path, b"x").status == 201
        assert alice.stat(path).path == path


class TestFind:
    """Section 2.4."""

    @pytest.fixture
    def tree(self, alice, box):
        for name in ("d1", "d2", "d1/d3"):
            alice.mkdir(f"{box}/{name}")
        for name in ("f1", "f2", "d1/f3", "d2/f4", "d1/d3/f5"):
            alice.put(f"{box}/{name}", b"x")
        return box

    @staticmethod
    def paths(found):
        return [(item.fmd.path if item.type == rpc.FILE else item.cmd.path).decode() for item in found]

    def test_depth_0_is_the_directory_itself(self, alice, tree):
        assert self.paths(alice.find(tree, 0)) == [f"{tree}/"]
        assert alice.find(tree, 0, rpc.FILE) == []
        assert alice.find(f"{tree}/nothing", 0) == []

    def test_a_missing_start_or_a_file_is_status_2(self, alice, tree):
        assert refused(alice.find, f"{tree}/nothing") == (UNKNOWN, "No such file or directory")
        assert refused(alice.find, f"{tree}/f1")[0] is UNKNOWN

    def test_a_level_is_the_directory_its_files_and_then_its_directories(self, alice, tree):
        found = self.paths(alice.find(tree, 1))
        assert found[0] == f"{tree}/"
        assert set(found[1:3]) == {f"{tree}/f1", f"{tree}/f2"}
        assert set(found[3:]) == {f"{tree}/d1/", f"{tree}/d2/"}
        assert self.paths(alice.md(tree, rpc.LISTING)) == found

    @pytest.mark.parametrize("depth", [3, 2**64 - 1])
    def test_levels_come_one_after_the_other(self, alice, tree, depth):
        found = [path.removeprefix(f"{tree}/") for path in self.paths(alice.find(tree, depth))]
        assert len(found) == 9
        assert found.index("d1/f3") > max(found.index("d1/"), found.index("d2/"), found.index("f2"))
        assert found.index("d2/f4") < found.index("d1/d3/f5")
        assert found[-1] == "d1/d3/f5"

    def test_only_files_or_only_directories(self, alice, tree):
        files = [path.removeprefix(tree) for path in self.paths(alice.find(tree, 9, rpc.FILE))]
        assert sorted(files) == ["/d1/d3/f5", "/d1/f3", "/d2/f4", "/f1", "/f2"]
        directories = [path.removeprefix(tree) for path in self.paths(alice.find(tree, 9, rpc.CONTAINER))]
        assert sorted(directories) == ["/", "/d1/", "/d1/d3/", "/d2/"]

    def test_the_order_is_stable_and_not_sorted(self, alice, box):
        for number in range(12):
            alice.put(f"{box}/{number:02d}", b"")
        names = alice.names(box)
        assert names == alice.names(box)
        assert names != sorted(names)
        assert len(names) == 12

    def test_hidden_entries_are_sent(self, eos, alice, box):
        eos.directory_at(f"{box}/v", uid=1000, gid=1000, xattrs={"sys.versioning": "3"})
        alice.put(f"{box}/v/f", b"1")
        alice.put(f"{box}/v/f", b"2")
        alice.location("PUT", f"{box}/v/g", "eos.atomic=1")
        names = {name.removeprefix(f"{box}/v/") for name in alice.names(f"{box}/v")}
        assert {"f", ".sys.v#.f/"} < names
        assert any(name.startswith(".sys.a#.v#.g.") for name in names)
        assert alice.stat(f"{box}/v").files == 2

    def test_an_unreadable_subdirectory_breaks_the_stream_off(self, eos, bob, box):
        eos.directory_at(f"{box}/closed", uid=1000, mode="700")
        request = rpc.FindRequest(
            type=rpc.LISTING, id=rpc.MDId(path=box.encode()), authkey=bob.key, role=bob.role, maxdepth=5
        )
        seen = []
        with pytest.raises(grpc.RpcError) as caught:
            seen.extend(item.cmd.path.decode() for item in bob.stub.Find(request))
        assert seen == [f"{box}/", f"{box}/closed/"]
        assert (caught.value.code(), caught.value.details()) == (DENIED, "access to read directory denied")

    @pytest.mark.parametrize(
        ("selection", "expected"),
        [
            (rpc.MDSelection(regexp_filename=b"^f", regexp_dirname=b"^nothing"), ["f1", "f2"]),
            (rpc.MDSelection(regexp_filename=b"^nothing", regexp_dirname=b"^d"), ["d1/", "d2/"]),
            (rpc.MDSelection(regexp_filename=b"[", regexp_dirname=b"^d"), []),
            (rpc.MDSelection(size=rpc.Limit(min=2)), []),
            (rpc.MDSelection(size=rpc.Limit(zero=True)), []),
            (rpc.MDSelection(size=rpc.Limit(min=1, max=1)), ["f1", "f2"]),
            (rpc.MDSelection(children=rpc.Limit(min=2, max=2)), ["d1/"]),
            (rpc.MDSelection(xattr={"sys.fs.tracking": b""}), ["f1", "f2"]),
            (rpc.MDSelection(symlink=True), []),
            (rpc.MDSelection(layoutid=0x00100002), ["f1", "f2"]),
            (rpc.MDSelection(owner=4711), []),
            (rpc.MDSelection(checksum=rpc.Checksum(type="adler32")), ["f1", "f2"]),
            (rpc.MDSelection(checksum=rpc.Checksum(value=bytes(32))), []),
        ],
        ids=str,
    )
    def test_selections(self, alice, eos, selection, expected, request):
        tree = eos.directory_at(f"{eos.home('alice')}/sel{abs(hash(request.node.name))}", uid=1000, gid=1000)
        for name in ("d1", "d2", "d1/d3"):
            alice.mkdir(f"{tree}/{name}")
        for name in ("f1", "f2", "d1/f3", "d2/f4"):
            alice.put(f"{tree}/{name}", b"x")
        selection.select = True
        found = [path.removeprefix(f"{tree}/") for path in self.paths(alice.find(tree, 1, selection=selection))]
        # The start directory passes the filters like any other entry.
        assert sorted(path for path in found if path) == expected

    def test_a_selection_without_select_is_ignored(self, alice, tree):
        assert len(alice.find(tree, 1, selection=rpc.MDSelection(owner=4711))) == 5
