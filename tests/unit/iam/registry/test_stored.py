"""What a store holds: no secret in clear text, and what a new master key takes over."""

from pathlib import Path

import pytest

from backends.api import BackendConfig
from backends.errors import StorageUnavailable
from backends.loader import create
from tests.unit.iam.registry.support import ALLOW, KEY, NEW_KEY, Crash, Mortal, registry_over
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.stores.api import DocumentStore
from workers.iam.stores.backend import BackendDocuments
from workers.iam.stores.file import FileDocuments
from workers.iam.stores.memory import MemoryDocuments


def _fill(registry: Registry) -> list[str]:
    account = registry.create_account("alice", email="alice@x.example").id
    registry.users.create(account, "user1")
    registry.users.put_inline(account, "user1", "inline", ALLOW)
    secrets = [registry.create_key(account).secret, registry.create_key(account, "user1").secret]
    registry.create_key(account, access_key="IMPORTED", secret="imported-secret")
    return [*secrets, "imported-secret", "alice@x.example", "s3:GetObject"]


def test_no_stored_byte_tells_a_secret(tmp_path: Path) -> None:
    backend = create("posix", BackendConfig(directory=str(tmp_path), durable=False))
    backend.open()
    secrets = _fill(Registry(BackendDocuments(backend), Sealer([KEY])))
    backend.close()
    secrets += _fill(Registry(FileDocuments(tmp_path / "f", Sealer([KEY]), durable=False), Sealer([KEY])))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        data = path.read_bytes() + str(path).encode()
        assert not [secret for secret in secrets if secret.encode() in data]


def test_a_new_master_key_takes_over(real_store: DocumentStore) -> None:
    old = Registry(real_store, Sealer([KEY]))
    account = old.create_account("alice").id
    old.users.create(account, "u")
    key, secret = old.create_key(account, "u")
    if isinstance(real_store, FileDocuments):
        real_store._sealer = Sealer([NEW_KEY, KEY])
    assert Registry(real_store, Sealer([NEW_KEY, KEY])).reseal() == len(list(real_store.names("")))
    assert Registry(real_store, Sealer([NEW_KEY, KEY])).reseal() == 0
    new = Registry(real_store, Sealer([NEW_KEY]))
    found = new.find_key(key.access_key)
    assert found is not None
    assert new.secret_of(found.record) == secret
    with pytest.raises(StorageUnavailable, match="master key"):
        old.find_key(key.access_key)


def test_resealing_that_is_broken_off_goes_on_later(store: MemoryDocuments) -> None:
    secrets = _fill(registry_over(store))
    both = Sealer([NEW_KEY, KEY])
    steps = 0
    while True:
        try:
            Registry(Mortal(store, 2), both).reseal()
        except Crash:
            steps += 1
            continue
        break
    assert steps > 2
    new = Registry(store, Sealer([NEW_KEY]))
    account = new.find_account("alice")
    assert account is not None
    assert new.secret_of(new.keys(account.id)[0]) == secrets[0]
