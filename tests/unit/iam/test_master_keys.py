"""Where master keys come from: which files are refused, how new keys come in, what Vault may hold."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import free_port
from tests.support.vault import Vault
from workers.iam.master_keys import (
    GivenKeys,
    KeyFile,
    VaultKeys,
    VaultTransit,
    generate,
    parse,
    write_key_file,
)
from workers.iam.opening import open_key_source, open_sealer
from workers.iam.sealing import LOOK, MasterKeyError, Sealer, SealError
from workers.iam.vault import VaultSession
from workers.settings import SettingsError, load_settings, load_worker_settings

OLD, NEW = "o" * 32, "n" * 64


def key_file(tmp_path: Path, *keys: str, mode: int = 0o600) -> Path:
    path = tmp_path / "keys"
    path.write_text("# for people\n" + "\n".join(keys) + "\n")
    path.chmod(mode)
    return path


# -- texts


def test_keys_are_read_in_order() -> None:
    assert parse(f"# a comment with words\n\n {NEW} \n{OLD}\n") == (NEW, OLD)
    assert parse(f"{NEW} {OLD}") == (NEW, OLD)


@pytest.mark.parametrize(
    "text", ["", "# only words\n", "short", f"{OLD}\nshort", f"{OLD} {OLD}", "k" * 129, "ü" * 32, "k" * 31 + "\x7f"]
)
def test_what_is_no_list_of_keys_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(MasterKeyError) as caught:
        parse(text, "/etc/keys")
    assert str(caught.value).startswith("/etc/keys: ")
    assert "\n" not in str(caught.value)
    assert not any(word in str(caught.value) for word in (OLD, "short", "kkkk"))


def test_a_new_key_is_256_random_bits() -> None:
    assert len(bytes.fromhex(generate())) == 32
    assert generate() != generate()


# -- files


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_private_file_is_read(tmp_path: Path, mode: int) -> None:
    assert KeyFile(key_file(tmp_path, NEW, OLD, mode=mode)).read() == (NEW, OLD)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o602, 0o777])
def test_a_file_that_others_get_at_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(MasterKeyError, match=f"mode {mode:04o}"):
        KeyFile(key_file(tmp_path, NEW, mode=mode)).read()


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="No such file"):
        KeyFile(tmp_path / "missing").read()
    with pytest.raises(MasterKeyError, match="directory"):
        KeyFile(tmp_path).read()
    path = key_file(tmp_path)
    path.write_bytes(b"\xff" * 40)
    with pytest.raises(MasterKeyError, match="not a file of master keys"):
        KeyFile(path).read()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = key_file(tmp_path, NEW)
    os.chown(path, 12345, 12345)
    with pytest.raises(MasterKeyError, match="belongs to user 12345"):
        KeyFile(path).read()


def test_a_file_is_replaced_as_a_whole_and_stays_private(tmp_path: Path) -> None:
    path = key_file(tmp_path, OLD, mode=0o640)
    source = KeyFile(path)
    source.replace((OLD,), (NEW, OLD))
    assert source.read() == (NEW, OLD)
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(MasterKeyError, match="somebody else"):
        source.replace((OLD,), (OLD,))
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]


def test_a_new_file_overwrites_none(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    write_key_file(path, [NEW], new=True)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(MasterKeyError, match="exists"):
        write_key_file(path, [OLD], new=True)
    assert KeyFile(path).read() == (NEW,)
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]


# -- rotation beside running processes


def test_a_running_process_takes_new_keys_up(tmp_path: Path) -> None:
    path = key_file(tmp_path, OLD)
    now = [0.0]
    sealers = [Sealer([OLD], reload=KeyFile(path).read, clock=lambda: now[0]) for _ in range(2)]
    before = sealers[0].seal(b"secret", "p")
    write_key_file(path, [NEW, OLD])
    now[0] += LOOK
    after = sealers[0].seal(b"secret", "p")
    assert not sealers[0].is_current(before)
    assert sealers[0].is_current(after)
    assert sealers[1].open(after, "p") == b"secret"
    assert sealers[1].open(before, "p") == b"secret"
    assert sealers[0].key_names == sealers[1].key_names


def test_unknown_keys_are_not_looked_for_all_the_time() -> None:
    looks: list[int] = []
    now = [0.0]

    def reload() -> Sequence[str]:
        looks.append(1)
        return [OLD]

    sealer = Sealer([OLD], reload=reload, clock=lambda: now[0])
    foreign = Sealer([NEW]).seal(b"x", "p")
    for _ in range(100):
        now[0] += LOOK / 50
        with pytest.raises(SealError):
            sealer.open(foreign, "p")
    assert 1 <= len(looks) <= 3


def test_keys_that_cannot_be_read_anew_leave_the_known_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = key_file(tmp_path, OLD)
    now = [0.0]
    sealer = Sealer([OLD], reload=KeyFile(path).read, clock=lambda: now[0])
    path.chmod(0o644)
    now[0] += LOOK
    assert sealer.open(sealer.seal(b"secret", "p"), "p") == b"secret"
    assert "0644" in caplog.text
    assert OLD not in caplog.text


# -- Vault


def test_keys_in_vault(vault: Vault) -> None:
    session = VaultSession(vault.options())
    source = VaultKeys(session, "secret/gateway/master-key")
    with pytest.raises(MasterKeyError, match="there is nothing"):
        source.read()
    source.create(OLD)
    with pytest.raises(MasterKeyError):
        source.create(NEW)
    assert source.read() == (OLD,)
    source.replace((OLD,), (NEW, OLD))
    assert source.read() == (NEW, OLD)
    with pytest.raises(MasterKeyError, match="somebody else"):
        source.replace((OLD,), (OLD,))
    vault.root.secrets.kv.v2.create_or_update_secret("gateway/other", {"key": OLD})
    with pytest.raises(MasterKeyError, match="no field 'keys'"):
        VaultKeys(session, "secret/gateway/other").read()
    session.close()


def test_a_file_that_vault_encrypted_is_worth_nothing_without_it(vault: Vault, tmp_path: Path) -> None:
    vault.root.sys.enable_secrets_engine("transit", path="encryption")
    vault.root.secrets.transit.create_key("gateway", mount_point="encryption")
    session = VaultSession(vault.options())
    transit = VaultTransit(session, "encryption/gateway")
    path = tmp_path / "keys"
    write_key_file(path, [OLD], transit, new=True)
    assert path.read_text().startswith("vault:v1:")
    assert KeyFile(path, transit).read() == (OLD,)
    KeyFile(path, transit).replace((OLD,), (NEW, OLD))
    assert KeyFile(path, transit).read() == (NEW, OLD)
    assert NEW not in path.read_text()
    with pytest.raises(MasterKeyError, match="vault_transit_key is not set"):
        KeyFile(path).read()
    with pytest.raises(MasterKeyError, match="encryption key not found"):
        KeyFile(path, VaultTransit(session, "encryption/missing")).read()
    session.close()


# -- settings


def test_the_source_follows_from_the_settings(tmp_path: Path) -> None:
    path = key_file(tmp_path, NEW, OLD)
    given = load_settings({}, {"SHARDGATE_MASTER_KEY": f"{NEW} {OLD}"}, base=tmp_path)
    assert isinstance(open_key_source(given), GivenKeys)
    assert open_sealer(given).key_names == open_sealer(load_settings({"master_key_file": str(path)}, {})).key_names
    by_variable = load_settings({}, {"SHARDGATE_MASTER_KEY_FILE": str(path)}, base=tmp_path)
    assert open_key_source(by_variable).read() == (NEW, OLD)
    path.rename(tmp_path / "master-key")
    generated = load_worker_settings({"SHARDGATE_STATE_DIR": str(tmp_path)})
    assert open_key_source(generated).read() == (NEW, OLD)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "master_key: no master key is set"),
        ({"master_key_file": "missing"}, "master_key_file: .*missing: No such file"),
        ({"master_key_vault": "secret/x"}, "vault_url is not set, but master_key_vault"),
        ({"master_key_vault": "secret/x", "vault_url": "https://h"}, "vault_token is not set"),
        ({"master_key_vault": "secret"}, "master_key_vault .*does not match"),
        ({"iam_store": "vault"}, "vault_url is not set, but iam_store"),
        ({"iam_store": "ldap"}, "ldap_urls is not set"),
        ({"iam_store": "ldap", "ldap_urls": ("ldap://h",)}, "ldap_base is not set"),
        (
            {"iam_store": "ldap", "ldap_urls": ("ldap://h",), "ldap_base": "dc=x", "ldap_bind_dn": "cn=x"},
            "ldap_bind_password is not set",
        ),
        ({"ldap_urls": ("http://h",)}, "ldap_urls .*must be ldap:// or ldaps://"),
        ({"vault_url": "https://user:pass@h"}, "vault_url .*without a user"),
        ({"vault_url": "https://h:port"}, "vault_url .*must be"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path: Path, given: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text) as caught:
        open_sealer(load_settings(given, {}, base=tmp_path))
    assert "\n" not in str(caught.value)
    assert "pass@" not in str(caught.value)


def test_two_sources_are_one_too_many(tmp_path: Path) -> None:
    environ = {"SHARDGATE_MASTER_KEY": OLD, "SHARDGATE_MASTER_KEY_FILE": str(key_file(tmp_path, NEW))}
    with pytest.raises(SettingsError, match="give one of them"):
        load_settings({}, environ)


def test_a_vault_that_is_away_stops_the_start_with_one_line() -> None:
    given = {"vault_url": f"http://127.0.0.1:{free_port()}", "master_key_vault": "secret/x"}
    settings = load_settings(given, {"SHARDGATE_VAULT_TOKEN": "token"})
    with pytest.raises(SettingsError, match=r"^master_key_vault: vault: secret/x: [^\n]*$"):
        open_sealer(settings)


@pytest.mark.parametrize(
    ("module", "given", "extra"),
    [
        ("ldap3", {"iam_store": "ldap", "ldap_urls": ("ldap://h",), "ldap_base": "dc=x"}, "ldap"),
        ("hvac", {"iam_store": "vault", "vault_url": "https://h"}, "vault"),
    ],
)
def test_a_missing_extra_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, given: dict[str, Any], extra: str
) -> None:
    import sys

    from workers.iam.opening import open_store
    from workers.iam.stores.memory import MemoryDocuments

    for name in list(sys.modules):
        if name.startswith(
            ("workers.iam.vault", "workers.iam.ldap", "workers.iam.stores.ldap", "workers.iam.stores.vault")
        ):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    settings = load_settings(given, {"SHARDGATE_VAULT_TOKEN": "token"}, base=tmp_path)
    backend: Any = MemoryDocuments()
    with pytest.raises(SettingsError, match=rf"^[^\n]*{module}[^\n]*pip install 'shardgate\[{extra}\]'$"):
        open_store(settings, backend, Sealer([OLD]))
