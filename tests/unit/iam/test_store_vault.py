"""The store in Vault, against OpenBao's server: tokens that end, policies that forbid, engines that are not there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.errors import DocumentChanged, StorageUnavailable
from tests.support.gateway import free_port, wait_until
from tests.support.vault import Vault
from workers.iam.stores.vault import VaultDocuments
from workers.iam.vault import VaultSession

NAME = "iam/keys/akiaexample"

POLICY = """
path "secret/data/policy/*" { capabilities = ["create", "read", "update"] }
path "secret/metadata/policy/*" { capabilities = ["create", "update", "list"] }
"""
"""What the documentation asks for, and no more."""

Open = Callable[..., VaultDocuments]


@pytest.fixture
def open_store(vault: Vault) -> Iterator[Open]:
    """Opens stores; `mount`, `path` and `VaultOptions` by name."""
    opened: list[VaultDocuments] = []

    def make(*, mount: str = "secret", path: str = "policy", **options: Any) -> VaultDocuments:
        made = VaultDocuments(VaultSession(vault.options(**options)), mount, path)
        opened.append(made)
        return made

    yield make
    for store in opened:
        store.close()


def token(vault: Vault, *, ttl: str = "1h", period: str = "", policies: tuple[str, ...] = ("gateway",)) -> str:
    vault.root.sys.create_or_update_policy("gateway", POLICY)
    made = vault.root.auth.token.create(
        policies=list(policies), ttl=ttl, period=period or None, no_default_policy=False
    )
    text: str = made["auth"]["client_token"]
    return text


def test_the_documented_policy_is_enough(vault: Vault, open_store: Open) -> None:
    store = open_store(token=token(vault))
    first = store.put("folder/a", b"one", None)
    second = store.put("folder/a", b"two", first)
    assert store.names("folder/") == ["folder/a"]
    store.delete("folder/a", second)
    assert store.get("folder/a") is None
    assert store.names("") == []


def test_no_former_version_is_kept(vault: Vault, open_store: Open) -> None:
    store = open_store(path="versions")
    revision = store.put(NAME, b"one", None)
    store.put(NAME, b"two", revision)
    metadata = vault.root.secrets.kv.v2.read_secret_metadata(f"versions/{NAME}")["data"]
    assert list(metadata["versions"]) == ["2"]


def test_a_former_revision_of_a_name_that_came_back_is_none(open_store: Open) -> None:
    store = open_store(path="back")
    first = store.put(NAME, b"one", None)
    store.delete(NAME, first)
    assert store.put(NAME, b"one", None) != first
    with pytest.raises(DocumentChanged):
        store.put(NAME, b"two", first)


def test_a_token_without_the_right_is_no_missing_document(vault: Vault, open_store: Open) -> None:
    store = open_store(path="elsewhere", token=token(vault))
    with pytest.raises(StorageUnavailable, match="permission denied"):
        store.get(NAME)
    with pytest.raises(StorageUnavailable, match="Forbidden"):
        open_store(token="wrong").get(NAME)


@pytest.mark.parametrize("mount", ["missing", "cubbyhole"])
def test_a_mount_without_the_engine_is_told(open_store: Open, mount: str) -> None:
    store = open_store(mount=mount)
    with pytest.raises(StorageUnavailable, match=mount):
        store.put(NAME, b"x", None)


def test_a_secret_of_somebody_else_is_no_missing_document(vault: Vault, open_store: Open) -> None:
    vault.root.secrets.kv.v2.create_or_update_secret("other/x", {"document": "no base64!"})
    with pytest.raises(StorageUnavailable, match="not a document"):
        open_store(path="other").get("x")


def test_a_document_that_was_deleted_by_hand_is_missing(vault: Vault, open_store: Open) -> None:
    store = open_store(path="hand")
    first = store.put(NAME, b"one", None)
    vault.root.secrets.kv.v2.delete_latest_version_of_secret(f"hand/{NAME}")
    assert store.get(NAME) is None
    assert store.names("") == []
    assert store.put(NAME, b"two", None) != first


def test_namespaces_are_apart(vault: Vault, open_store: Open) -> None:
    vault.root.sys.create_namespace("tenant")
    inside = type(vault.root)(url=vault.url, token=vault.token, verify=str(vault.ca), namespace="tenant")
    inside.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    store = open_store(namespace="tenant", path="ns")
    wait_until(lambda: _quietly(lambda: store.get(NAME) is None), what="the engine")
    store.put(NAME, b"x", None)
    assert open_store(path="ns").get(NAME) is None


def _quietly(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except StorageUnavailable:
        return False  # a new engine upgrades itself for a moment


# -- tokens


def test_an_approle_logs_in_and_again_when_its_token_is_revoked(vault: Vault, open_store: Open) -> None:
    root = vault.root
    root.sys.create_or_update_policy("gateway", POLICY)
    root.sys.enable_auth_method("approle", path="machines")
    root.auth.approle.create_or_update_approle(
        "gateway", token_policies=["gateway"], token_ttl="1h", mount_point="machines"
    )
    role_id = root.auth.approle.read_role_id("gateway", mount_point="machines")["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id("gateway", mount_point="machines")["data"]["secret_id"]
    store = open_store(token="", role_id=role_id, secret_id=secret_id, approle_mount="machines")
    store.put("approle", b"x", None)
    first = store._session._client.token
    root.auth.token.revoke(first)
    assert store.get("approle") is not None
    assert store._session._client.token != first
    wrong = open_store(token="", role_id=role_id, secret_id="wrong", approle_mount="machines")
    with pytest.raises(StorageUnavailable, match="logging in") as caught:
        wrong.get("approle")
    assert role_id not in str(caught.value)


def test_a_token_of_short_life_is_renewed(vault: Vault, open_store: Open) -> None:
    short = token(vault, period="3s")
    store = open_store(token=short)
    store.get(NAME)
    root = vault.root

    def renewed() -> bool:
        found = root.auth.token.lookup(short)["data"]
        return bool(found.get("last_renewal"))

    wait_until(renewed, what="the renewal")
    assert store.get(NAME) is None


def test_a_token_that_ended_is_replaced_from_the_file(vault: Vault, open_store: Open, tmp_path: Path) -> None:
    file = tmp_path / "token"
    first = token(vault)
    file.write_text(first + "\n")
    store = open_store(token="", token_file=file)
    assert store.get(NAME) is None
    vault.root.auth.token.revoke(first)
    with pytest.raises(StorageUnavailable):
        store.get(NAME)
    file.write_text(token(vault))
    assert store.get(NAME) is None
    file.unlink()


# -- connections


def test_a_server_that_cannot_prove_who_it_is_gets_no_token(vault: Vault, open_store: Open) -> None:
    with pytest.raises(StorageUnavailable, match="certificate"):
        open_store(ca=None).get(NAME)


def test_a_vault_that_is_away_is_unavailable(open_store: Open) -> None:
    with pytest.raises(StorageUnavailable):
        open_store(url=f"https://127.0.0.1:{free_port()}").get(NAME)


def test_a_sealed_vault_is_unavailable(tmp_path: Path) -> None:
    with Vault(tmp_path / "vault") as own:
        store = VaultDocuments(VaultSession(own.options()), "secret", "x")
        store.put(NAME, b"x", None)
        own.root.sys.seal()
        with pytest.raises(StorageUnavailable, match=r"sealed|Down"):
            store.get(NAME)
        store.close()
