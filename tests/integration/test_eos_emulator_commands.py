"""Sections 2.5 to 2.9 of the protocol reference: commands that change the emulator's namespace."""

import pytest

from backends.eos.proto import namespace_pb2 as rpc
from tests.support.eos import Client, Emulator


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
def root(eos):
    with Client(eos, 0, 0, key=eos.root_key) as client:
        yield client


@pytest.fixture
def box(eos, request):
    return eos.directory_at(f"{eos.home('alice')}/{request.node.name}", uid=1000, gid=1000, mode="755")


def path_id(path):
    return rpc.MDId(path=path.encode())


class TestGeneral:
    """Section 2.5."""

    @pytest.mark.parametrize("command", [{}, {"share": rpc.NSRequest.ShareRequest()}, {"file": {}}])
    def test_what_is_not_supported_is_22(self, alice, command):
        assert alice.run(**command) == (22, "error: command not supported")

    @pytest.mark.parametrize(("path", "code"), [("", 22), ("relative", 22), ("/eos/dev/a\nb", 84), ("/x" * 254, 36)])
    def test_paths_that_are_not_accepted(self, alice, path, code):
        assert alice.mkdir(path)[0] == code

    def test_paths_are_normalised(self, alice, box):
        assert alice.mkdir(f"{box}//a/./b/../c")[0] == 0
        assert alice.stat(f"{box}/a/c")
        assert alice.mkdir(f"{box}/x#AND#y")[0] == 0
        assert alice.stat(f"{box}/x&y").name == b"x&y"

    def test_an_immutable_directory_refuses_everybody_but_root(self, eos, alice, box):
        eos.directory_at(f"{box}/i", uid=1000, gid=1000, xattrs={"sys.acl": "z:i"})
        assert alice.mkdir(f"{box}/i/d")[0] == 1
        assert alice.mgm("PUT", f"{box}/i/f").status == 403

    def test_unlink_and_rmdir_by_id_look_for_a_container(self, alice, box):
        alice.put(f"{box}/f", b"x")
        alice.mkdir(f"{box}/d")
        file, directory = alice.stat(f"{box}/f"), alice.stat(f"{box}/d")
        assert alice.run(unlink=rpc.NSRequest.UnlinkRequest(id=rpc.MDId(id=10**9 + file.id)))[0] == 2
        assert alice.run(rmdir=rpc.NSRequest.RmdirRequest(id=rpc.MDId(id=directory.id)))[0] == 0
        assert alice.run(rm=rpc.NSRequest.RmRequest(id=rpc.MDId(id=file.id, type=rpc.FILE)))[0] == 0
        assert alice.names(box) == []


class TestMkdir:
    """Section 2.6, mkdir."""

    def test_a_new_directory_has_the_mode_that_was_asked_for(self, alice, box):
        path = f"{box}/new"
        assert alice.mkdir(path, 0o711, recursive=False) == (0, f"info: created directory '{path}'")
        assert alice.stat(path).mode == 0o40711

    def test_attributes_and_intermediate_modes_are_inherited(self, eos, alice, box):
        eos.directory_at(f"{box}/p", uid=1000, gid=1000, mode="2770", xattrs={"user.x": "1", "sys.y": "2"})
        assert alice.mkdir(f"{box}/p/a/b", 0o700)[0] == 0
        assert alice.stat(f"{box}/p/a").mode == 0o42770
        found = alice.stat(f"{box}/p/a/b")
        assert (found.mode, found.xattrs["user.x"], found.xattrs["sys.y"]) == (0o40700, b"1", b"2")
        assert b"." in found.xattrs["sys.eos.btime"]

    def test_recursive_on_an_existing_one_changes_its_mode(self, alice, box):
        alice.mkdir(f"{box}/d", 0o700)
        assert alice.mkdir(f"{box}/d", 0o755) == (0, f"info: created directory '{box}/d'")
        assert alice.stat(f"{box}/d").mode == 0o40755

    def test_recursive_on_one_of_somebody_else_fails_at_the_chmod(self, eos, alice, box):
        eos.directory_at(f"{box}/bobs", uid=1001, gid=1001)
        text = f"Unable to chmod: Operation not permitted; {box}/bobs"
        assert alice.mkdir(f"{box}/bobs") == (1, text)

    def test_the_parents_rights_are_asked_before_existence(self, eos, bob):
        home = eos.home("bob")
        parent = home.rpartition("/")[0]
        text = f"Unable to access(XW) parent directory: Operation not permitted; {parent}"
        assert bob.mkdir(home) == (1, text)

    def test_existing_ones_without_recursive_and_files_are_17(self, alice, box):
        alice.put(f"{box}/f", b"")
        assert alice.mkdir(box, recursive=False)[0] == 17
        assert alice.mkdir(f"{box}/f") == (17, f"Unable to mkdir: File exists; {box}/f")
        alice.mkdir(f"{box}/d")
        assert alice.mkdir(f"{box}/d", recursive=False) == (17, f"Unable to mkdir: File exists; {box}/d")

    def test_a_missing_parent_is_2_and_a_file_in_the_way_is_20(self, alice, box):
        alice.put(f"{box}/f", b"")
        text = f"Unable to mkdir: No such file or directory; {box}/a/b"
        assert alice.mkdir(f"{box}/a/b", recursive=False) == (2, text)
        assert alice.mkdir(f"{box}/f/b/c")[0] == 20

    def test_rights_on_the_first_existing_ancestor(self, bob, box):
        code, text = bob.mkdir(f"{box}/a/b")
        assert (code, text) == (1, f"Unable to create parent directory: Operation not permitted; {box}")

    def test_an_acl_that_forbids_writing(self, eos, alice, box):
        eos.directory_at(f"{box}/p", uid=1000, gid=1000, xattrs={"sys.acl": "u:1000:rx!w"})
        code, text = alice.mkdir(f"{box}/p/d")
        assert code == 1
        assert text.startswith("Unable to create directory - forbidden by ACL: ")


class TestRmdirAndTouch:
    """Section 2.6, rmdir and touch."""

    def test_rmdir(self, alice, bob, box):
        alice.mkdir(f"{box}/d")
        assert bob.rmdir(f"{box}/d")[0] == 1
        assert alice.rmdir(f"{box}/d") == (0, f"info: deleted directory '{box}/d'")
        assert alice.rmdir(f"{box}/d")[0] == 2
        alice.put(f"{box}/f", b"")
        assert alice.rmdir(f"{box}/f")[0] == 2
        assert alice.rmdir(box) == (39, f"Unable to rmdir - Directory not empty: Directory not empty; {box}")

    def test_hidden_versions_count_as_content(self, eos, alice, box):
        eos.directory_at(f"{box}/v/.sys.v#.f", uid=1000, gid=1000)
        eos.directory_at(f"{box}/v", uid=1000, gid=1000)
        assert alice.rmdir(f"{box}/v")[0] == 39

    def test_touch_makes_an_entry_without_layout_and_replicas(self, alice, box):
        touch = rpc.NSRequest.TouchRequest(id=path_id(f"{box}/t"))
        assert alice.run(touch=touch)[0] == 0
        found = alice.stat(f"{box}/t")
        assert (found.layout_id, list(found.locations), found.flags, found.checksum.value) == (0, [], 0, b"")
        before = found.mtime.sec * 10**9 + found.mtime.n_sec
        assert alice.run(touch=touch)[0] == 0
        after = alice.stat(f"{box}/t").mtime
        assert after.sec * 10**9 + after.n_sec > before

    def test_touching_a_directory_is_21_without_a_text(self, alice, box):
        assert alice.run(touch=rpc.NSRequest.TouchRequest(id=path_id(box))) == (21, "")


class TestUnlinkAndRm:
    """Section 2.6, unlink and rm."""

    def test_unlink_is_exact(self, alice, bob, box):
        for name in ("a*", "ab", "a?"):
            alice.put(f"{box}/{name}", b"x")
        assert bob.unlink(f"{box}/ab")[0] == 1
        assert alice.unlink(f"{box}/a*") == (0, f"info: unlinked file '{box}/a*'")
        assert sorted(alice.names(box)) == [f"{box}/a?", f"{box}/ab"]
        assert alice.unlink(f"{box}/a*") == (2, f"Unable to remove: No such file or directory; {box}/a*")
        assert alice.unlink(box) == (21, f"Unable to remove: Is a directory; {box}")

    def test_unlink_takes_the_link_and_not_its_target(self, alice, box):
        alice.put(f"{box}/f", b"x")
        alice.run(symlink=rpc.NSRequest.SymlinkRequest(id=path_id(f"{box}/l"), target=b"f"))
        assert alice.unlink(f"{box}/l")[0] == 0
        assert alice.names(box) == [f"{box}/f"]

    @pytest.mark.parametrize("acl", ["u:1000:rwx!d", "u:1000:rxwo"])
    def test_acls_that_forbid_deletion(self, eos, alice, box, acl):
        eos.directory_at(f"{box}/p", uid=1000, gid=1000, xattrs={"sys.acl": acl})
        assert alice.put(f"{box}/p/f", b"x").status == 201
        assert alice.unlink(f"{box}/p/f")[0] == 1

    def test_rm_globs_and_so_deletes_siblings(self, alice, box):
        for name in ("a*", "ab", "b"):
            alice.put(f"{box}/{name}", b"x")
        assert alice.rm(f"{box}/a*")[0] == 0
        assert alice.names(box) == [f"{box}/b"]

    def test_noglobbing_counts_only_where_the_release_has_it(self, eos, alice, box):
        for name in ("a*", "ab"):
            alice.put(f"{box}/{name}", b"x")
        eos.quirks(rm_noglobbing=True)
        try:
            assert alice.rm(f"{box}/a*", noglobbing=True)[0] == 0
        finally:
            eos.quirks(rm_noglobbing=False)
        assert alice.names(box) == [f"{box}/ab"]
        alice.put(f"{box}/a*", b"x")
        assert alice.rm(f"{box}/a*", noglobbing=True)[0] == 0
        assert alice.names(box) == []

    def test_rm_by_id_globs_in_the_path_of_the_file(self, alice, box):
        for name in ("a*", "ab", "b"):
            alice.put(f"{box}/{name}", b"x")

        def removed(fid: int) -> int:
            return alice.run(rm=rpc.NSRequest.RmRequest(id=rpc.MDId(id=fid, type=rpc.FILE)))[0]

        first, last = (alice.stat(f"{box}/{name}").id for name in ("a*", "b"))
        assert removed(first) == 0
        assert alice.names(box) == [f"{box}/b"]
        assert removed(last) == 0
        assert alice.names(box) == []
        # What is not there, EOS takes for a deletion that is pending.
        assert removed(last) == 1

    def test_rm_of_what_is_missing_and_of_a_directory(self, alice, box):
        assert alice.rm(f"{box}/x") == (2, f"error: no such file or directory with path '{box}/x'")
        alice.mkdir(f"{box}/d")
        assert alice.rm(f"{box}/d") == (21, f"error: unable to remove file/directory '{box}/d'")

    def test_rm_recursive(self, alice, box):
        alice.mkdir(f"{box}/d/e")
        alice.put(f"{box}/d/e/f", b"x")
        assert alice.rm(f"{box}/d", recursive=True) == (0, f"info: deleted directory tree '{box}/d")
        assert alice.missing(f"{box}/d")

    def test_a_partial_failure_leaves_a_part_of_the_tree(self, eos, alice, box):
        eos.directory_at(f"{box}/d/locked", uid=1001, gid=1001, mode="755")
        eos.directory_at(f"{box}/d", uid=1000, gid=1000)
        with Client(eos, 1001, 1001) as bob:
            bob.put(f"{box}/d/locked/f", b"x")
        alice.put(f"{box}/d/g", b"x")
        assert alice.rm(f"{box}/d", recursive=True)[0] == 1
        assert alice.missing(f"{box}/d/g")
        assert alice.stat(f"{box}/d/locked/f").size == 1

    def test_too_many_entries_are_7(self, eos, alice, box):
        for number in range(3):
            alice.put(f"{box}/{number}", b"")
        eos.quirks(find_limit=2)
        try:
            assert alice.rm(box, recursive=True)[0] == 7
        finally:
            eos.quirks(find_limit=100_000)


class TestRename:
    """Section 2.6, rename: success is code 0 and a text that begins with `info: renamed`."""

    def test_to_a_free_name(self, alice, box):
        alice.put(f"{box}/a", b"x")
        before = alice.stat(f"{box}/a")
        assert alice.rename(f"{box}/a", f"{box}/b") == (0, f"info: renamed '{box}/a' to '{box}/b'")
        after = alice.stat(f"{box}/b")
        assert (after.id, after.mtime) == (before.id, before.mtime)
        assert after.ctime != before.ctime
        assert alice.missing(f"{box}/a")

    def test_to_an_existing_file_is_17(self, alice, box):
        alice.put(f"{box}/a", b"x")
        alice.put(f"{box}/b", b"y")
        text = f"Unable to rename - target file name exists: File exists; {box}/b"
        assert alice.rename(f"{box}/a", f"{box}/b") == (17, text)
        assert alice.get(f"{box}/b").body == b"y"

    def test_to_an_existing_directory_moves_into_it(self, alice, box):
        alice.put(f"{box}/a", b"x")
        alice.mkdir(f"{box}/d")
        assert alice.rename(f"{box}/a", f"{box}/d")[0] == 0
        assert alice.get(f"{box}/d/a").body == b"x"

    def test_what_is_in_the_directory_by_that_name(self, alice, box):
        alice.mkdir(f"{box}/s")
        alice.mkdir(f"{box}/empty/s")
        alice.mkdir(f"{box}/full/s/x")
        alice.mkdir(f"{box}/file")
        alice.put(f"{box}/file/s", b"x")
        assert alice.rename(f"{box}/s", f"{box}/full")[0] == 39
        assert alice.rename(f"{box}/s", f"{box}/file")[0] == 17
        assert alice.rename(f"{box}/s", f"{box}/empty")[0] == 0

    def test_to_itself_is_a_success(self, alice, box):
        alice.put(f"{box}/a", b"x")
        assert alice.rename(f"{box}/a", f"{box}/a")[0] == 0

    def test_missing_source_and_missing_parent_are_2(self, alice, box):
        code, text = alice.rename(f"{box}/none", f"{box}/b")
        assert code == 2
        assert text.startswith("Unable to rename - source access failure: ")
        alice.put(f"{box}/a", b"x")
        assert alice.rename(f"{box}/a", f"{box}/none/b")[0] == 2

    def test_a_directory_into_itself_is_22(self, alice, box):
        alice.mkdir(f"{box}/d/e")
        assert alice.rename(f"{box}/d", f"{box}/d/e")[0] == 22

    def test_a_quota_node_cannot_be_renamed(self, eos, root, alice, box):
        alice.mkdir(f"{box}/q/node")
        quota = rpc.NSRequest.QuotaRequest(
            path=f"{box}/q/node".encode(), id=rpc.RoleId(uid=1000), op=rpc.SET, maxbytes=10**9
        )
        assert root.exec(quota=quota).quota.code == 0
        assert alice.rename(f"{box}/q", f"{box}/r")[0] == 13

    def test_rights_on_both_parents(self, eos, alice, bob, box):
        alice.put(f"{box}/a", b"x")
        assert bob.rename(f"{box}/a", f"{eos.home('bob')}/a")[0] == 1
        assert alice.rename(f"{box}/a", f"{eos.home('bob')}/a")[0] == 1

    def test_versions_follow_their_file(self, eos, alice, box):
        eos.directory_at(f"{box}/v", uid=1000, gid=1000, xattrs={"sys.versioning": "2"})
        alice.put(f"{box}/v/a", b"1")
        alice.put(f"{box}/v/a", b"2")
        assert alice.rename(f"{box}/v/a", f"{box}/v/b")[0] == 0
        assert sorted(alice.names(f"{box}/v")) == [f"{box}/v/.sys.v#.b/", f"{box}/v/b"]


class TestAttributes:
    """Section 2.6, chmod, chown, symlink and xattr."""

    def test_xattrs_are_set_and_then_deleted(self, alice, box):
        assert alice.xattr(box, {"user.a": b"1", "user.b": b"2"}) == (0, f"info: setxattr  on '{box}'")
        assert alice.xattr(box, {"user.c": b"\xff\x01"}, ("user.a",))[0] == 0
        found = alice.stat(box).xattrs
        assert (found["user.b"], found["user.c"], "user.a" in found) == (b"2", b"\xff\x01", False)

    def test_values_end_at_the_first_nul(self, alice, box):
        alice.xattr(box, {"user.a": b"one\0two"})
        assert alice.stat(box).xattrs["user.a"] == b"one"

    def test_create_replace_and_delete(self, alice, box):
        assert alice.xattr(box, {"user.a": b"1"}, create=True)[0] == 0
        assert alice.xattr(box, {"user.a": b"2"}, create=True)[0] == 17
        assert alice.xattr(box, {"user.a": b"3"})[0] == 0
        assert alice.xattr(box, remove=("user.none",))[0] == 61
        assert alice.xattr(f"{box}/none", {"user.a": b"1"})[0] == 2

    def test_keys_before_a_failure_stay(self, alice, box):
        assert alice.xattr(box, {"user.a": b"1"}, ("user.none",))[0] == 61
        assert alice.stat(box).xattrs["user.a"] == b"1"

    def test_who_may(self, eos, alice, bob, box):
        alice.put(f"{box}/f", b"x")
        assert bob.xattr(f"{box}/f", {"user.a": b"1"})[0] == 1
        # The owner may set what is the system's, too.
        assert alice.xattr(f"{box}/f", {"sys.a": b"1"})[0] == 0
        eos.directory_at(f"{box}/x", uid=1000, xattrs={"sys.acl": "u:1001:X"})
        assert bob.xattr(f"{box}/x", {"user.a": b"1"})[0] == 0

    def test_lists_are_checked_and_made_numeric(self, alice, box):
        assert alice.xattr(box, {"sys.acl": b"u:bob:rx,g:staff:rwx,z:!d"})[0] == 0
        assert alice.stat(box).xattrs["sys.acl"] == b"u:1001:rx,g:2000:rwx,z:!d"
        assert alice.xattr(box, {"sys.acl": b"u:nobody-has-this:rx"})[0] == 22
        assert alice.xattr(box, {"sys.acl": b"nonsense"})[0] == 22

    def test_recursive_is_for_directories(self, alice, box):
        alice.mkdir(f"{box}/d")
        alice.put(f"{box}/d/f", b"x")
        assert alice.xattr(box, {"user.a": b"1"}, recursive=True) == (0, f"info: setxattr recursively on '{box}'")
        assert alice.stat(f"{box}/d").xattrs["user.a"] == b"1"
        assert "user.a" not in alice.stat(f"{box}/d/f").xattrs

    def test_chmod(self, alice, bob, box):
        alice.put(f"{box}/f", b"x")
        change = rpc.NSRequest.ChmodRequest(id=path_id(f"{box}/f"), mode=0o4600)
        assert bob.run(chmod=change)[0] == 1
        assert alice.run(chmod=change)[0] == 0
        assert alice.stat(f"{box}/f").flags == 0o600

    def test_chown_is_for_administrators_and_for_c(self, eos, root, alice, bob, box):
        give = rpc.NSRequest.ChownRequest(id=path_id(box), owner=rpc.RoleId(uid=1001, gid=1000))
        assert alice.run(chown=give)[0] == 1
        alice.xattr(box, {"sys.acl": b"u:1001:c"})
        assert bob.run(chown=give)[0] == 0
        both = rpc.NSRequest.ChownRequest(id=path_id(box), owner=rpc.RoleId(uid=1000, gid=1001))
        assert bob.run(chown=both)[0] == 1
        assert root.run(chown=both)[0] == 0
        assert (alice.stat(box).uid, alice.stat(box).gid) == (1000, 1001)

    def test_a_link_over_an_existing_name_is_17(self, alice, box):
        alice.put(f"{box}/f", b"x")
        assert alice.run(symlink=rpc.NSRequest.SymlinkRequest(id=path_id(f"{box}/f"), target=b"g"))[0] == 17


class TestAcl:
    """Section 2.6, acl; section 2.8."""

    @staticmethod
    def acl(path, command, rule="", **rest):
        kinds = rpc.NSRequest.AclRequest
        return kinds(id=path_id(path), cmd=command, type=rest.pop("type", kinds.SYS_ACL), rule=rule, **rest)

    def test_list_and_modify(self, alice, box):
        kinds = rpc.NSRequest.AclRequest
        nothing = alice.exec(acl=self.acl(box, kinds.LIST)).acl
        assert (nothing.code, nothing.msg) == (61, "error: No data available")
        assert alice.exec(acl=self.acl(box, kinds.MODIFY, "u:1001=rx")).acl.rule == "u:1001:rx"
        assert alice.exec(acl=self.acl(box, kinds.MODIFY, "u:1001:+w")).acl.rule == "u:1001:rxw"
        assert alice.exec(acl=self.acl(box, kinds.MODIFY, "g:5=r", position=1)).acl.rule == "g:5:r,u:1001:rxw"
        assert alice.exec(acl=self.acl(box, kinds.MODIFY, "g:5=")).acl.rule == "u:1001:rxw"
        assert alice.exec(acl=self.acl(box, kinds.LIST)).acl.rule == "u:1001:rxw"

    def test_a_users_list_needs_its_switch(self, alice, box):
        kinds = rpc.NSRequest.AclRequest
        change = self.acl(box, kinds.MODIFY, "u:1001=rx", type=kinds.USER_ACL)
        refusal = alice.exec(acl=change).acl
        assert (refusal.code, refusal.msg) == (22, "error: unable to set user.acl, missing sys.eval.useracl")
        alice.xattr(box, {"sys.eval.useracl": b"1"})
        assert alice.exec(acl=change).acl.code == 0

    @pytest.mark.parametrize(
        ("acl", "put", "get"),
        [
            ("u:1001:rwx", 307, 307),
            ("u:1001:rx", 403, 307),
            ("g:1001:rwx", 307, 307),
            ("z:rwx", 307, 307),
            ("u:1000:rwx", 403, 403),
            ("u:1001:wx", 307, 403),
            ("egroup:readers:rwx", 403, 403),
        ],
    )
    def test_what_entries_grant_at_a_closed_directory(self, eos, alice, bob, acl, put, get):
        path = eos.directory_at(
            f"{eos.home('alice')}/acl {acl.replace(':', ' ')}", uid=1000, gid=1000, mode="700", xattrs={"sys.acl": acl}
        )
        alice.put(f"{path}/f", b"x")
        assert bob.mgm("GET", f"{path}/f").status == get
        assert bob.mgm("PUT", f"{path}/new").status == put

    def test_somebody_is_who_the_owner_says(self, eos, bob, box):
        path = eos.directory_at(f"{box}/o", uid=1000, gid=1000, xattrs={"sys.owner.auth": "*", "sys.acl": "z:rwx"})
        assert bob.put(f"{path}/f", b"x").status == 201
        assert bob.stat(f"{path}/f").uid == 1000


class TestInsert:
    """Section 2.6, FileInsert and ContainerInsert."""

    def test_ids_and_paths_are_the_callers(self, eos, root, alice, box):
        directories = rpc.ContainerInsertRequest(
            authkey=eos.key,
            container=[
                rpc.ContainerMdProto(id=777_001, path=f"{box}/imported/".encode(), uid=1000, gid=1000, mode=0o755),
                rpc.ContainerMdProto(path=f"{box}/none/x".encode()),
            ],
        )
        reply = root.stub.ContainerInsert(directories)
        assert list(reply.retc) == [0, 2]
        files = rpc.FileInsertRequest(
            authkey=eos.key,
            files=[rpc.FileMdProto(id=888_001, path=f"{box}/imported/f".encode(), uid=1000, size=5, layout_id=1)],
        )
        assert list(root.stub.FileInsert(files).retc) == [0]
        assert (alice.stat(f"{box}/imported").id, alice.stat(f"{box}/imported/f").id) == (777_001, 888_001)
        assert list(root.stub.FileInsert(files).retc) != [0]

    def test_they_are_for_sudoers(self, eos, root):
        request = rpc.FileInsertRequest(authkey=eos.plain_key, files=[rpc.FileMdProto(path=b"/eos/dev/f")])
        reply = root.stub.FileInsert(request)
        assert (list(reply.retc), reply.message[0]) == ([1], "Not a sudoer, refusing to run command")
