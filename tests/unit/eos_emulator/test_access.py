"""Sections 2.2 and 2.8 of the protocol reference without servers: lists, rights, identities, tokens."""

import errno

import pytest

from backends.eos.emulator import acl
from backends.eos.emulator.entries import Container
from backends.eos.emulator.failures import EosError
from backends.eos.emulator.identity import (
    Identities,
    default_directory,
    http_role,
    metadata_role,
    read_directory,
    role,
)
from backends.eos.emulator.permissions import BROWSE, READ, WRITE, by_mode
from backends.eos.emulator.tokens import Token, Tokens

IDENTITIES = Identities(default_directory("key"))
GATEWAY = IDENTITIES.of_key("key", "grpc", "127.0.0.1")


class TestLists:
    @pytest.mark.parametrize(
        ("text", "permissions"),
        [
            ("u:1:rwx", {"r", "w", "x"}),
            ("g:1:rxwo", {"r", "x", "wo"}),
            ("z:!d!w", {"!d", "!w"}),
            ("egroup:some-name:rwx+d", {"r", "w", "x", "+d"}),
            ("k:abc:rcqia", {"r", "c", "q", "i", "a"}),
        ],
    )
    def test_entries(self, text, permissions):
        (rule,) = acl.parsed(text)
        assert set(rule.permissions) == permissions
        assert acl.formatted([rule]) == text

    @pytest.mark.parametrize("text", ["u:1", "u::rwx", "x:1:rwx", "u:1:rwy", "u:1:!q", "u:1:+r", "rwx"])
    def test_what_is_no_list(self, text):
        with pytest.raises(EosError) as caught:
            acl.parsed(text)
        assert caught.value.code == errno.EINVAL

    def test_an_empty_list(self):
        assert acl.parsed("") == []
        assert acl.parsed(" , ") == []

    @pytest.mark.parametrize(
        ("change", "position", "result"),
        [
            ("u:2=rx", 0, "u:1:rw,u:2:rx"),
            ("u:2:rx", 0, "u:1:rw,u:2:rx"),
            ("u:2=rx", 1, "u:2:rx,u:1:rw"),
            ("u:1:+x", 0, "u:1:rwx"),
            ("u:1:-w", 0, "u:1:r"),
            ("u:1=", 0, ""),
            ("u:1:-rw", 0, ""),
            ("z=r,u:1=x", 0, "u:1:x,z:r"),
        ],
    )
    def test_changes(self, change, position, result):
        assert acl.formatted(acl.modified(acl.parsed("u:1:rw"), change, position)) == result

    @pytest.mark.parametrize("change", ["u:1", "nonsense", "u:1=q!", "x:1=r"])
    def test_what_is_no_change(self, change):
        with pytest.raises(EosError):
            acl.modified([], change, 0)

    def test_denials(self):
        rights = acl.Rights(frozenset({"w", "!d", "!u", "+u"}))
        assert rights.denies("d")
        assert not rights.denies("u")
        assert rights.grants("w")
        assert not rights.write_once


@pytest.mark.parametrize(
    ("uid", "gid", "mode", "bits", "verdict"),
    [
        (1000, 1000, 0o700, READ | WRITE | BROWSE, True),
        (1000, 1000, 0o077, READ, False),
        (1001, 1000, 0o750, READ | BROWSE, True),
        (1001, 1000, 0o750, WRITE, False),
        (1001, 1001, 0o751, BROWSE, True),
        (1001, 1001, 0o751, READ, False),
        (0, 0, 0o000, WRITE, True),
        (2, 2, 0o000, READ | BROWSE, True),
        (2, 2, 0o000, WRITE, False),
    ],
)
def test_mode_bits(uid, gid, mode, bits, verdict):
    directory = Container(2, 1, b"d", 1000, 1000, mode, 0, 0, 0)
    assert by_mode(IDENTITIES.of_number(uid, gid), directory, bits) is verdict


class TestRoles:
    def test_the_matrix_for_a_sudoer(self):
        assert GATEWAY.sudoer
        assert metadata_role(GATEWAY, 0, 0, IDENTITIES).is_root
        assert role(GATEWAY, 0, 0, IDENTITIES) is GATEWAY
        for choose in (metadata_role, role):
            assert choose(GATEWAY, GATEWAY.uid, GATEWAY.gid, IDENTITIES) is GATEWAY
            other = choose(GATEWAY, 1000, 1000, IDENTITIES)
            assert (other.uid, other.gid, other.sudoer, other.gids) == (1000, 1000, False, {1000, 99})

    def test_the_matrix_for_others(self):
        nobody = IDENTITIES.of_key("other", "grpc", "127.0.0.1")
        assert (nobody.uid, nobody.sudoer) == (99, False)
        assert role(nobody, 0, 0, IDENTITIES) is nobody
        for choose, arguments in ((metadata_role, (0, 0)), (metadata_role, (1000, 1000)), (role, (1000, 1000))):
            with pytest.raises(EosError) as caught:
                choose(nobody, *arguments, IDENTITIES)
            assert caught.value.code == errno.EPERM

    def test_http_roles(self):
        alice = IDENTITIES.remote_user("alice", numeric=True)
        assert http_role(alice, "", "", IDENTITIES) is alice
        assert http_role(alice, "1000", "1000", IDENTITIES).uid == 1000
        assert http_role(alice, "1001", "1001", IDENTITIES).uid == 99
        assert http_role(alice, "1000", "4711", IDENTITIES).gid == 99
        assert http_role(alice, "mallory", "", IDENTITIES).uid == 99
        assert http_role(GATEWAY, "1001", "1001", IDENTITIES).uid == 1001

    @pytest.mark.parametrize(
        ("name", "numeric", "uid"),
        [
            ("alice", False, 1000),
            ("1000", True, 1000),
            ("1000", False, 99),
            ("4711", True, 4711),
            ("<unknown>", True, 99),
        ],
    )
    def test_remote_users(self, name, numeric, uid):
        assert IDENTITIES.remote_user(name, numeric=numeric).uid == uid


class TestUsersFile:
    def test_a_whole_one(self, tmp_path):
        path = tmp_path / "users.toml"
        path.write_text(
            'nobody = 65534\nsudoers = ["svc"]\ngateways = ["10.0.0.1"]\n[groups]\nstaff = 7\n'
            '[[user]]\nname = "svc"\nuid = 5\ngid = 6\ngroups = [7]\nhome = "700"\n'
            '[[key]]\nkey = "k"\nuser = "svc"\nprotocols = ["https"]\n'
        )
        found = Identities(read_directory(path, None))
        assert found.nobody.uid == 65534
        assert found.of_key("k", "https", "10.9.9.9").sudoer
        assert found.of_key("k", "grpc", "10.0.0.1").uid == 65534
        assert found.is_gateway("10.0.0.1")
        assert not found.is_gateway("10.0.0.2")
        assert not found.is_gateway("10.0.0.1", "https")
        assert found.directory.gid_of("staff") == 7
        assert found.directory.users[0].home_mode == 0o700

    @pytest.mark.parametrize(
        "text",
        [
            "not toml",
            "",
            '[[user]]\nname = "a"',
            '[[user]]\nname="a"\nuid=1\ngid=1\n[[key]]\nkey="k"\nuser="b"',
            'sudoers = ["b"]\n[[user]]\nname="a"\nuid=1\ngid=1',
        ],
    )
    def test_what_is_none(self, tmp_path, text):
        (tmp_path / "users.toml").write_text(text)
        with pytest.raises(ValueError, match=r"users\.toml"):
            read_directory(tmp_path / "users.toml", None)


class TestTokens:
    TOKEN = Token("/eos/dev/a/", "rx", 1000, "alice", "1000", allowtree=True)

    def opened(self, text, key=b"key", **rest):
        arguments = {"now": 999, "generation": 1, "peer": "127.0.0.1", "protocol": "grpc", **rest}
        return Tokens(key).opened(text, **arguments)

    def test_there_and_back(self):
        text = Tokens(b"key").signed(self.TOKEN)
        assert text.startswith("zteos64:")
        assert not set("/+=") & set(text)
        assert self.opened(text) == self.TOKEN

    @pytest.mark.parametrize(
        ("change", "code"),
        [({"now": 1000}, errno.EKEYEXPIRED), ({"generation": 2}, errno.EACCES), ({"key": b"other"}, errno.EACCES)],
    )
    def test_what_does_not_hold(self, change, code):
        with pytest.raises(EosError) as caught:
            self.opened(Tokens(b"key").signed(self.TOKEN), **change)
        assert caught.value.code == code

    @pytest.mark.parametrize("text", ["zteos64:", "zteos64:AAAA", "zteos64:%%%", "other"])
    def test_what_is_no_token(self, text):
        with pytest.raises(EosError):
            self.opened(text)

    @pytest.mark.parametrize(
        ("path", "tree", "asked", "covered"),
        [
            ("/a/", True, b"/a/b/c", True),
            ("/a", True, b"/a", True),
            ("/a", True, b"/ab", False),
            ("/a", False, b"/a/b", False),
            ("/a://:/b", True, b"/b/c", True),
            ("/a://:/b", True, b"/c", False),
        ],
    )
    def test_paths(self, path, tree, asked, covered):
        assert Token(path, "r", 1, "a", "a", allowtree=tree).covers(asked) is covered
