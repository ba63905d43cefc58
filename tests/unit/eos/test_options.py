"""The options of the EOS plugin: what is wrong stops the start with one line that names it."""

from pathlib import Path
from typing import Any

import pytest

from backends.api import BackendConfig, Caller, ConfigurationError, PermissionDenied
from backends.eos.identity import Identities
from backends.eos.interfaces import Role
from backends.eos.options import Options, options_of

GOOD: dict[str, Any] = {
    "grpc": ["mgm.example.org:50051"],
    "mgm": ["https://mgm.example.org:8443"],
    "authkey": "the-key",
    "state": "/eos/example/s3/state",
    "root": "/eos/example/user/{user}/s3",
    "service": {"uid": 900, "gid": 901},
}


def options(**changes: Any) -> Options:
    given = {**GOOD, **changes}
    return options_of(BackendConfig(options={name: value for name, value in given.items() if value is not None}))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"grpc": None}, "grpc"),
        ({"grpc": []}, "grpc"),
        ({"grpc": ["mgm.example.org"]}, "grpc"),
        ({"grpc": ["http://mgm.example.org:50051"]}, "grpc"),
        ({"mgm": ["mgm.example.org:8443"]}, "mgm"),
        ({"mgm": ["https://user@mgm.example.org:8443"]}, "mgm"),
        ({"authkey": None}, "authkey"),
        ({"authkey": "with blank"}, "authkey"),
        ({"authkey": "line\nbreak"}, "authkey"),
        ({"authkey_file": "/also"}, "authkey"),
        ({"authkey": None, "authkey_file": "/no/such/file"}, "authkey_file"),
        ({"state": "relative"}, "state"),
        ({"state": "/eos/a/../b"}, "state"),
        ({"state": "/eos/a#AND#b"}, "state"),
        ({"root": "/eos/example/s3/state/buckets"}, "root"),
        ({"root": "/eos/example/{group}"}, "root"),
        ({"service": {"uid": 0, "gid": 900}}, "service.uid"),
        ({"administrator": {"uid": 0, "gid": 0}}, "administrator.uid"),
        ({"anonymous": {"uid": 99}}, "anonymous"),
        ({"user_roots": [{"path": "/eos/example/a"}]}, "user_roots"),
        ({"user_roots": [{"path": "/eos/example/a", "uid": 1, "user": "a"}]}, "user_roots"),
        ({"tls": {"certificate": "a.pem"}}, "tls"),
        ({"call_timeout": 0}, "call_timeout"),
        ({"remote_user": "both"}, "remote_user"),
        ({"no_such_option": 1}, "no_such_option"),
    ],
    ids=str,
)
def test_a_wrong_option_is_named_in_one_line(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options(**change)
    assert named in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "the-key" not in str(caught.value)


def test_the_key_comes_from_a_file_and_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-the-file\n", encoding="utf-8")
    read = options(authkey=None, authkey_file=str(file))
    assert read.authkey == "from-the-file"
    assert "from-the-file" not in repr(read)


def test_one_address_needs_no_list() -> None:
    assert options(grpc="[::1]:50051", mgm="http://[::1]:8000").grpc == ("[::1]:50051",)


@pytest.mark.parametrize("caller", [Caller(account_id="a", uid=0, gid=0), Caller(account_id="a", uid=5, gid=0)])
def test_the_administrator_is_never_root(caller: Caller) -> None:
    with pytest.raises(PermissionDenied):
        Identities(options()).role(caller)
    assert Identities(options(administrator={"uid": 7, "gid": 8})).role(caller) == Role(7, 8)


@pytest.mark.parametrize("caller", [Caller(account_id=""), Caller(account_id="a", uid=5), Caller(account_id="", gid=5)])
def test_who_has_no_account_is_anonymous_or_refused(caller: Caller) -> None:
    with pytest.raises(PermissionDenied):
        Identities(options()).role(caller)
    assert Identities(options(anonymous={"uid": 99, "gid": 99})).role(caller) == Role(99, 99)


def test_a_caller_acts_as_itself() -> None:
    caller = Caller(account_id="a", user_name="alice", uid=1000, gid=2000)
    assert Identities(options(administrator={"uid": 7, "gid": 8})).role(caller) == Role(1000, 2000, "alice")
