"""Under which master keys the identities are sealed, and sealing all of them under the present one.

Both go record by record, beside a working fleet: a record that somebody changes meanwhile is looked at again, and a
run that was broken off is simply started anew.
"""

from __future__ import annotations

from collections import Counter

from workers.iam.records import AccessKeyRecord
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer, key_name
from workers.iam.stores.api import DocumentStore
from workers.iam.stores.file import FileDocuments
from workers.iam.stores.sealed import SealedRecords


def sealed_under(store: DocumentStore, sealer: Sealer) -> Counter[str]:
    """How many sealed texts there are under each master key, by its name; "" are texts that nobody sealed."""
    counts: Counter[str] = Counter()
    if isinstance(store, FileDocuments) and (name := store.sealed_under()):
        counts[name] += 1
    records = SealedRecords(store, sealer)
    for document in list(store.names("iam/")):
        found = store.get(document)
        if found is None:
            continue
        counts[key_name(found.data)] += 1
        if document.startswith("iam/keys/") and key_name(found.data) in sealer.key_names:
            key = records.get(document, AccessKeyRecord)
            if key is not None:
                counts[key_name(key[0].sealed_secret)] += 1
    return counts


def reseal(registry: Registry, store: DocumentStore) -> int:
    """Seal everything under the present master key; returns how many records were not.

    Raises `StorageUnavailable` at the first that no known key opens, `Busy` for one that others keep changing.
    """
    count = registry.reseal()
    # Last: every record that was written has sealed the file anew, and there may have been none.
    if isinstance(store, FileDocuments):
        count += store.reseal()
    return count
