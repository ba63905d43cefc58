"""`shardgate accounts`, `users`, `keys`, `groups`, `roles`, `policies`, `oidc-providers` on a store of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backends.api import BackendConfig, BucketRecord
from backends.posix import PosixBackend
from dispatcher.cli import cli
from dispatcher.processes import SupervisionError
from dispatcher.uploads_command import OPERATOR
from workers.settings import SettingsError

READ = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::*"}}
TRUST = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"},
}
MASTER_KEY = "m" * 32


class Shell:
    """Runs commands; all share one store."""

    def __init__(self, directory: Path, store: str) -> None:
        self.directory = directory
        self.store = store
        self.environ: dict[str, str | None] = {
            "SHARDGATE_MASTER_KEY": MASTER_KEY,
            "SHARDGATE_ACCESS_KEY": "rootkey",
            "SHARDGATE_SECRET_KEY": "rootsecret",
            "SHARDGATE_DURABILITY": "relaxed",
        }

    def run(self, *words: str, text: str | None = None, **environ: str) -> Result:
        place = [
            "--directory",
            str(self.directory),
            "--iam-store",
            self.store,
            "--state-dir",
            str(self.directory.parent),
        ]
        return CliRunner().invoke(cli, [*words, *place], input=text, env={**self.environ, **environ})

    def __call__(self, *words: str, text: str | None = None, **environ: str) -> str:
        result = self.run(*words, text=text, **environ)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    def json(self, *words: str, **given: Any) -> Any:
        return json.loads(self(*words, "--json", **given))

    def refused(self, *words: str, text: str | None = None) -> str:
        result = self.run(*words, text=text)
        assert result.exit_code != 0, result.output
        if isinstance(result.exception, SupervisionError | SettingsError):
            return str(result.exception)
        assert isinstance(result.exception, SystemExit), result.exception
        return result.output


@pytest.fixture
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    (tmp_path / "data").mkdir()
    return Shell(tmp_path / "data", getattr(request, "param", "file"))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, Any], str]:
    """Writes a document; gives the file's name."""

    def write(name: str, document: Any) -> str:
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return str(path)

    return write


@pytest.mark.parametrize("shell", ["backend", "file"], indirect=True)
def test_life_of_an_account(shell: Shell) -> None:
    made = shell.json("accounts", "create", "alice", "--uid", "1000", "--gid", "100", "--max-requests", "50", "--key")
    assert (made["name"], made["uid"], made["limits"]["requests"]) == ("alice", 1000, 50)
    assert len(made["secret_key"]) == 40
    assert shell.json("accounts", "show", made["number"])["id"] == made["id"]
    changed = shell.json(
        "accounts", "update", "alice", "--rename", "alice2", "--email", "a@example.org", "--no-buckets"
    )
    assert (changed["name"], changed["uid"], changed["may_create_buckets"]) == ("alice2", 1000, False)
    assert "alice2 is disabled" in shell("accounts", "disable", "alice2")
    assert [one["enabled"] for one in shell.json("accounts", "list")] == [False]
    shell("accounts", "enable", "alice2")
    assert "alice2" in shell("accounts", "list")
    assert "DeleteConflict" in shell.refused("accounts", "delete", "alice2")
    shell("accounts", "delete", "alice2", "--cascade")
    assert shell.json("accounts", "list") == []
    assert "there is no account alice" in shell.refused("accounts", "show", "alice")


def test_account_that_owns_buckets_is_not_deleted(shell: Shell) -> None:
    made = shell.json("accounts", "create", "alice")
    backend = PosixBackend(BackendConfig(directory=str(shell.directory)))
    backend.open()
    backend.create_bucket(OPERATOR, BucketRecord(name="pictures", created=1, owner=made["id"]))
    backend.close()
    assert "pictures" in shell.refused("accounts", "delete", "alice")
    shell("accounts", "delete", "alice", "--leave-buckets")
    assert shell.json("accounts", "list") == []


def test_root_is_there_and_cannot_be_changed(shell: Shell) -> None:
    assert shell.json("accounts", "show", "root")["name"] == "root"
    for words in (("disable",), ("delete",), ("update", "--email", "a@b.org")):
        assert "configuration" in shell.refused("accounts", words[0], "root", *words[1:])
    assert "configuration" in shell.refused("keys", "create")


def test_users_groups_and_policies(shell: Shell, written: Callable[[str, Any], str]) -> None:
    file = written("read.json", READ)
    user = shell.json("users", "create", "bob", "--path", "/x/", "--uid", "7", "--tag", "team=atlas", "--key")
    assert (user["path"], user["uid"], user["tags"]) == ("/x/", 7, {"team": "atlas"})
    shell("groups", "create", "readers")
    shell("groups", "add", "readers", "bob")
    arn = shell.json("policies", "create", "read", file, "--description", "reads")["arn"]
    shell("policies", "attach", "read", "--group", "readers")
    shell("policies", "attach", arn, "--user", "bob")
    shell("policies", "put-inline", "more", file, "--user", "bob")
    assert json.loads(shell("policies", "show-inline", "more", "--user", "bob")) == READ
    shown = shell.json("policies", "show", "read")
    assert shown["document"] == READ
    assert len(shown["attached_to"]) == 2
    assert shell.json("users", "show", "bob")["member_of"] == ["readers"]
    assert shell.json("groups", "show", "readers")["members"] == ["bob"]
    assert "DeleteConflict" in shell.refused("users", "delete", "bob")
    assert "name one of" in shell.refused("policies", "attach", "read")
    changed = shell.json("users", "update", "bob", "--boundary", arn, "--untag", "team", "--gid", "8")
    assert (changed["boundary"], changed["tags"], changed["uid"], changed["gid"]) == (arn, {}, 7, 8)
    shell("policies", "detach", "read", "--group", "readers")
    shell("policies", "delete-inline", "more", "--user", "bob")
    shell("groups", "remove", "readers", "bob")
    shell("groups", "update", "readers", "--path", "/y/")
    shell("groups", "delete", "readers")
    shell("users", "delete", "bob", "--cascade")
    shell("policies", "delete", "read")
    assert shell.json("policies", "list") == shell.json("users", "list") == shell.json("groups", "list") == []


def test_policies_of_all_accounts_are_attached_and_not_changed(
    shell: Shell, written: Callable[[str, Any], str]
) -> None:
    arn = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    file = written("read.json", READ)
    shell("users", "create", "bob")
    shell("policies", "create", "AmazonS3ReadOnlyAccess", file)
    shell("policies", "attach", arn, "--user", "bob")
    assert shell.json("users", "show", "bob")["attached"] == [arn]
    assert "s3:List*" in shell("policies", "show", arn)
    for words in (("delete", arn), ("update", arn, file), ("set-default", arn, "v1")):
        assert "cannot be changed" in shell.refused("policies", *words)
    assert [policy["name"] for policy in shell.json("policies", "list")] == ["AmazonS3ReadOnlyAccess"]
    shell("policies", "detach", arn, "--user", "bob")


def test_versions_of_a_policy_make_room(shell: Shell, written: Callable[[str, Any], str]) -> None:
    file = written("read.json", READ)
    shell("policies", "create", "read", "-", text=json.dumps(READ))
    for _ in range(6):
        last = shell.json("policies", "update", "read", file)
    assert (last["default_version"], sorted(last["versions"])) == ("v7", ["v3", "v4", "v5", "v6", "v7"])
    bad = written("bad.json", {"Version": "2012-10-17", "Statement": {"Effect": "Allow"}})
    assert "MalformedPolicy" in shell.refused("policies", "update", "read", bad)
    assert sorted(shell.json("policies", "show", "read")["versions"]) == ["v3", "v4", "v5", "v6", "v7"]
    shell("policies", "set-default", "read", "v3")
    assert shell.json("policies", "show", "read")["default_version"] == "v3"


def test_keys_are_made_rotated_and_never_shown_again(shell: Shell, tmp_path: Path) -> None:
    shell("users", "create", "bob")
    made = shell.json("keys", "create", "--user", "bob", "--expires", "90d")
    assert made["expires"]
    assert made["secret_key"] not in shell("keys", "show", made["access_key"])
    assert made["secret_key"] not in shell("keys", "list", "--all", "--json")
    rotated = shell.json("keys", "rotate", made["access_key"], "--overlap", "1h")
    assert (rotated["user"], rotated["replaces"]) == ("bob", made["access_key"])
    assert rotated["former_key_ends"] < made["expires"]
    shell("keys", "disable", rotated["access_key"])
    assert shell.json("keys", "show", rotated["access_key"])["status"] == "disabled"
    shell("users", "enable", "bob")
    assert shell.json("keys", "show", rotated["access_key"])["status"] == "active"
    shell("keys", "expire", made["access_key"], "2020-01-01")
    assert shell.json("keys", "show", made["access_key"])["status"] == "expired"
    shell("keys", "expire", made["access_key"], "never")
    shell("keys", "delete", made["access_key"])
    assert "no such access key" in shell.refused("keys", "show", made["access_key"])
    assert len(shell.json("keys", "list", "--user", "bob")) == 1


def test_secret_of_a_key_that_moves_here_is_read_and_not_printed(shell: Shell, tmp_path: Path) -> None:
    shell("users", "create", "bob")
    words = ("keys", "create", "--user", "bob", "--access-key")
    secret = "an-old-secret-of-bobs"
    assert secret not in shell(*words, "old-one", "--secret-file", "-", text=secret + "\n")
    (tmp_path / "secret").write_text(secret)
    assert secret not in shell(*words, "old-two", "--secret-file", str(tmp_path / "secret"))
    assert secret not in shell(*words, "old-three", SHARDGATE_NEW_SECRET=secret)
    assert "needs its secret" in shell.refused(*words, "old-four")
    assert len(shell.json("keys", "list", "--user", "bob")) == 3


def test_roles(shell: Shell, written: Callable[[str, Any], str]) -> None:
    file = written("trust.json", TRUST)
    made = shell.json("roles", "create", "reader", "--trust", file, "--max-session", "7200", "--uid", "5")
    assert (made["trust"], made["max_session"], made["uid"]) == (TRUST, 7200, 5)
    assert "--trust" in shell.refused("roles", "create", "other")
    nobody = {**TRUST, "Statement": {**TRUST["Statement"], "Principal": {"AWS": "123456789012"}}}  # type: ignore[dict-item]
    assert "MalformedPolicy" in shell.refused("roles", "create", "other", "--trust", written("nobody.json", nobody))
    changed = shell.json("roles", "update", "reader", "--description", "reads", "--trust", file)
    assert (changed["description"], changed["max_session"]) == ("reads", 7200)
    assert "ended" in shell("roles", "revoke-sessions", "reader")
    assert shell.json("roles", "show", "reader")["sessions_revoked_before"]
    assert "reader" in shell("roles", "list")
    assert "trust" in shell("roles", "show", "reader")
    shell("roles", "delete", "reader")
    assert shell.json("roles", "list") == []


def test_providers(shell: Shell) -> None:
    url = "https://idp.example.org/realms/x"
    made = shell.json("oidc-providers", "create", url, "--client-id", "gateway")
    assert made["arn"].endswith(":oidc-provider/idp.example.org/realms/x")
    shell("oidc-providers", "add-client", url, "other")
    assert shell.json("oidc-providers", "show", made["arn"])["client_ids"] == ["gateway", "other"]
    shell("oidc-providers", "remove-client", url, "gateway")
    assert url in shell("oidc-providers", "list")
    shell("oidc-providers", "delete", url)
    assert "no provider" in shell.refused("oidc-providers", "show", url)
    assert "ValidationError" in shell.refused("oidc-providers", "create", "ftp://x", "--client-id", "a")


def test_identities_of_another_account(shell: Shell) -> None:
    shell("accounts", "create", "alice")
    shell("users", "create", "bob", "--account", "alice")
    assert shell.json("users", "list") == []
    assert [user["name"] for user in shell.json("users", "list", "--account", "alice")] == ["bob"]
    assert "NoSuchEntity" in shell.refused("users", "show", "bob")


def test_nothing_is_stored_in_clear_text(shell: Shell, tmp_path: Path) -> None:
    shell("users", "create", "bob")
    made = shell.json("keys", "create", "--user", "bob")
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert made["secret_key"].encode() not in stored
    assert MASTER_KEY.encode() not in stored


@pytest.mark.parametrize("end", ["soon", "90", "1y"])
def test_moments_that_are_none_are_refused(shell: Shell, end: str) -> None:
    shell("users", "create", "bob")
    assert "a moment is" in shell.refused("keys", "create", "--user", "bob", "--expires", end)


def test_missing_master_key_is_one_line(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "backend")
    shell.environ["SHARDGATE_MASTER_KEY"] = None
    assert "master_key" in shell.refused("accounts", "list")
