"""The state of uploads in Redis: who wins, what comes back when it is lost, what is left."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import pytest
import redis

from backends.api import NoSuchUpload, ObjectRecord, PartRecord
from backends.testkit.harness import all_fine, meanwhile, together
from tests.unit.state.conftest import BUCKET, CALLER, Fleet
from workers.state import uploads as uploads_module
from workers.state.locks import LockNotHad, lock
from workers.state.uploads import PREFIX, Busy, Done, State, Uploads

HASH = "0" * 48
DONE = ObjectRecord(size=4, etag="done")


def numbers(uploads: Uploads, upload_id: str) -> list[int]:
    return [part.number for part in uploads.parts(CALLER, BUCKET, upload_id, 0, 10_000).parts]


# -- one worker sees what another one did


def test_workers_share_uploads_and_parts(fleet: Fleet) -> None:
    one, other = fleet.worker(), fleet.worker()
    upload = fleet.begin(one)
    assert other.get(CALLER, BUCKET, "key", upload.id) == upload
    part = fleet.put(one, upload, 3)
    assert other.parts(CALLER, BUCKET, upload.id, 0, 10).parts == [part]
    assert fleet.backend.loads == 0


@pytest.mark.parametrize("upload_id", ["", "x", HASH, HASH[:-1] + "g", "A" * 48, HASH + "0", "../" * 16])
def test_unknown_ids_are_not_found(fleet: Fleet, upload_id: str) -> None:
    with pytest.raises(NoSuchUpload):
        fleet.worker().get(CALLER, BUCKET, "key", upload_id)
    assert fleet.keys() == set()


def test_an_upload_is_only_found_under_its_key_and_bucket(fleet: Fleet) -> None:
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    for worker in (uploads, fleet.worker()):
        with pytest.raises(NoSuchUpload):
            worker.get(CALLER, BUCKET, "other", upload.id)
        with pytest.raises(NoSuchUpload):
            worker.get(CALLER, "elsewhere", "key", upload.id)
        assert worker.get(CALLER, BUCKET, "key", upload.id) == upload


def test_the_last_part_of_a_number_counts_and_tells_its_predecessor(fleet: Fleet) -> None:
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    first, second = fleet.stored(upload, 1, b"one"), fleet.stored(upload, 1, b"two")
    assert uploads.add_part(CALLER, BUCKET, upload, first) is None
    assert uploads.add_part(CALLER, BUCKET, upload, second) == first
    assert uploads.parts(CALLER, BUCKET, upload.id, 0, 10).parts == [second]


def test_parts_are_paged_by_number(fleet: Fleet) -> None:
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    sent = [10_000, 1, 2_500, 7, 999, 1000, 1001]
    for number in sent:
        part = PartRecord(number=number, size=1, etag="e", place="p")
        uploads.add_part(CALLER, BUCKET, upload, part)
    assert numbers(uploads, upload.id) == sorted(sent)
    seen: list[int] = []
    while True:
        page = uploads.parts(CALLER, BUCKET, upload.id, seen[-1] if seen else 0, 2)
        seen += [part.number for part in page.parts]
        if not page.truncated:
            break
    assert seen == sorted(sent)
    assert uploads.parts(CALLER, BUCKET, upload.id, 10_000, 5) == ([], False)
    assert uploads.parts(CALLER, BUCKET, upload.id, 2**31 - 1, 5) == ([], False)


# -- completion


def test_of_many_who_complete_one_begins(fleet: Fleet) -> None:
    workers = [fleet.worker() for _ in range(5)]
    upload = fleet.begin(workers[0])
    part = fleet.put(workers[0], upload, 1)
    outcomes = together([partial(worker.begin_completion, CALLER, BUCKET, upload.id) for worker in workers])
    begun = [outcome.value for outcome in outcomes if outcome.error is None]
    assert len(begun) == 1, outcomes
    assert begun[0] is not None
    assert begun[0][1] == {1: part}
    assert all(isinstance(outcome.error, Busy) for outcome in outcomes if outcome.error is not None)


def test_while_it_is_completed_nothing_else_happens(fleet: Fleet) -> None:
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    part = fleet.put(uploads, upload, 1)
    token, _ = uploads.begin_completion(CALLER, BUCKET, upload.id)
    for call in (
        lambda: uploads.add_part(CALLER, BUCKET, upload, part),
        lambda: uploads.begin_completion(CALLER, BUCKET, upload.id),
        lambda: uploads.abort(CALLER, BUCKET, upload),
    ):
        with pytest.raises(Busy):
            call()
    assert numbers(uploads, upload.id) == [1]
    uploads.reopen(upload.id, "not the token")
    assert uploads.states([upload.id]) == [State.COMPLETING]
    uploads.reopen(upload.id, token)
    assert uploads.states([upload.id]) == [State.OPEN]
    uploads.add_part(CALLER, BUCKET, upload, part)
    uploads.abort(CALLER, BUCKET, upload)


def test_a_finished_upload_answers_its_result_for_ever(fleet: Fleet) -> None:
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    part = fleet.put(uploads, upload, 1)
    uploads.begin_completion(CALLER, BUCKET, upload.id)
    uploads.finish(CALLER, BUCKET, upload, DONE)
    for worker in (uploads, fleet.worker()):
        assert worker.get(CALLER, BUCKET, "key", upload.id) == upload
        with pytest.raises(Done) as done:
            worker.begin_completion(CALLER, BUCKET, upload.id)
        assert done.value.record == DONE
        for call in (
            partial(worker.add_part, CALLER, BUCKET, upload, part),
            partial(worker.parts, CALLER, BUCKET, upload.id, 0, 1),
            partial(worker.parts, CALLER, BUCKET, upload.id, 10_000, 1),
            partial(worker.abort, CALLER, BUCKET, upload),
        ):
            with pytest.raises(NoSuchUpload):
                call()
    assert list(fleet.backend.list_uploads(CALLER, BUCKET)) == []


def test_a_lease_that_ran_out_is_nobodys(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_module, "LEASE_MS", 50)
    dead, living = fleet.worker(), fleet.worker()
    upload = fleet.begin(dead)
    part = fleet.put(dead, upload, 1)
    token, _ = dead.begin_completion(CALLER, BUCKET, upload.id)
    assert dead.renew(upload.id, token)
    time.sleep(0.08)
    assert living.states([upload.id]) == [State.UNKNOWN]
    again, parts = living.begin_completion(CALLER, BUCKET, upload.id)
    assert parts == {1: part}
    assert not dead.renew(upload.id, token)
    dead.reopen(upload.id, token)
    assert living.renew(upload.id, again)


def test_a_part_reopens_what_a_dead_worker_was_completing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_module, "LEASE_MS", 30)
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    token, _ = uploads.begin_completion(CALLER, BUCKET, upload.id)
    time.sleep(0.05)
    fleet.put(uploads, upload, 1)
    assert uploads.states([upload.id]) == [State.OPEN]
    assert not uploads.renew(upload.id, token)
    assert numbers(uploads, upload.id) == [1]


# -- abortion


def test_an_aborted_upload_leaves_no_key(fleet: Fleet) -> None:
    uploads, other = fleet.worker(), fleet.worker()
    upload = fleet.begin(uploads)
    part = fleet.put(other, upload, 1)
    other.abort(CALLER, BUCKET, upload)
    assert fleet.keys() == set()
    for worker in (uploads, other):
        with pytest.raises(NoSuchUpload):
            worker.add_part(CALLER, BUCKET, upload, part)
        with pytest.raises(NoSuchUpload):
            worker.abort(CALLER, BUCKET, upload)
    assert fleet.keys() == set()


def test_an_abortion_that_was_begun_is_only_finished(fleet: Fleet) -> None:
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    part = fleet.put(uploads, upload, 1)
    fleet.client.hset(f"{PREFIX}{{{upload.id}}}", "state", "aborting")
    for call in (
        lambda: uploads.add_part(CALLER, BUCKET, upload, part),
        lambda: uploads.begin_completion(CALLER, BUCKET, upload.id),
        lambda: uploads.parts(CALLER, BUCKET, upload.id, 0, 1),
    ):
        with pytest.raises(NoSuchUpload):
            call()
    assert uploads.states([upload.id]) == [State.ABORTING]
    uploads.abort(CALLER, BUCKET, upload)
    assert fleet.keys() == set()
    assert list(fleet.backend.list_uploads(CALLER, BUCKET)) == []


# -- Redis is lost


def test_an_empty_redis_is_filled_from_the_storage(fleet: Fleet) -> None:
    uploads, other = fleet.worker(), fleet.worker()
    upload = fleet.begin(uploads)
    parts = [fleet.put(uploads, upload, number) for number in (1, 2, 2, 5)]
    fleet.lose_redis()
    assert other.get(CALLER, BUCKET, "key", upload.id) == upload
    assert uploads.parts(CALLER, BUCKET, upload.id, 0, 10).parts == [parts[0], parts[2], parts[3]]
    assert fleet.backend.loads == 1
    _, found = uploads.begin_completion(CALLER, BUCKET, upload.id)
    assert found == {1: parts[0], 2: parts[2], 5: parts[3]}


def test_a_server_that_came_back_with_old_data_is_not_believed(fleet: Fleet) -> None:
    """A part that was acknowledged after the last save must not be missing."""
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    name = f"{PREFIX}{{{upload.id}}}"
    fleet.put(uploads, upload, 1)
    saved = fleet.client.dump(name)
    fleet.put(uploads, upload, 2)
    fleet.lose_redis()
    fleet.client.restore(name, 0, saved)
    assert numbers(uploads, upload.id) == [1, 2]


def test_many_workers_restore_once(fleet: Fleet) -> None:
    workers = [fleet.worker() for _ in range(6)]
    upload = fleet.begin(workers[0])
    part = fleet.put(workers[0], upload, 1)
    fleet.lose_redis()
    fleet.backend.loaded = lambda: time.sleep(0.05)
    pages = all_fine(together([partial(worker.parts, CALLER, BUCKET, upload.id, 0, 5) for worker in workers]))
    assert all(page.parts == [part] for page in pages)
    assert fleet.backend.loads == 1


def test_a_part_that_is_stored_while_others_restore_counts(fleet: Fleet) -> None:
    uploads, other = fleet.worker(), fleet.worker()
    upload = fleet.begin(uploads)
    fleet.put(uploads, upload, 1)
    fleet.lose_redis()
    loading, stored = threading.Event(), threading.Event()

    def loaded() -> None:
        loading.set()
        assert stored.wait(10)

    fleet.backend.loaded = loaded
    with meanwhile(partial(numbers, other, upload.id)) as outcome:
        assert loading.wait(10)
        part = fleet.stored(upload, 2)
        with meanwhile(partial(uploads.add_part, CALLER, BUCKET, upload, part)) as added:
            stored.set()
    all_fine(outcome)
    all_fine(added)
    assert numbers(uploads, upload.id) == [1, 2]


def test_who_restores_too_slowly_writes_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read from the storage is old when another one has restored and gone on since."""
    monkeypatch.setattr(uploads_module, "RESTORE_SECONDS", 0.05)
    slow, fast = fleet.worker(), fleet.worker()
    upload = fleet.begin(slow)
    fleet.put(slow, upload, 1)
    fleet.lose_redis()
    loading, go = threading.Event(), threading.Event()

    def loaded() -> None:
        if not loading.is_set():
            loading.set()
            assert go.wait(10)

    fleet.backend.loaded = loaded
    with meanwhile(partial(numbers, slow, upload.id)) as outcome:
        assert loading.wait(10)
        time.sleep(0.1)
        fleet.put(fast, upload, 2)
        go.set()
    assert all_fine(outcome) == [[1, 2]]
    assert numbers(fast, upload.id) == [1, 2]


def test_a_completed_upload_is_known_after_everything_was_forgotten(fleet: Fleet) -> None:
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    part = fleet.put(uploads, upload, 1)
    uploads.begin_completion(CALLER, BUCKET, upload.id)
    published = fleet.publish(upload, [part])
    fleet.lose_redis()
    with pytest.raises(Done) as done:
        uploads.begin_completion(CALLER, BUCKET, upload.id)
    assert done.value.record == published
    uploads.finish(CALLER, BUCKET, upload, published)
    fleet.lose_redis()
    with pytest.raises(NoSuchUpload):
        uploads.begin_completion(CALLER, BUCKET, upload.id)
    assert uploads.completed(CALLER, BUCKET, "key", upload.id) == published
    assert uploads.completed(CALLER, BUCKET, "key", HASH) is None
    assert uploads.completed(CALLER, BUCKET, "other", upload.id) is None
    assert uploads.completed(CALLER, "elsewhere", "key", upload.id) is None


def test_what_was_decided_stays_decided_over_a_restart(fleet: Fleet) -> None:
    uploads = fleet.worker()
    done, aborting = fleet.begin(uploads), fleet.begin(uploads)
    uploads.finish(CALLER, BUCKET, done, DONE)
    fleet.client.hset(f"{PREFIX}{{{aborting.id}}}", "state", "aborting")
    saved = {upload.id: fleet.client.dump(f"{PREFIX}{{{upload.id}}}") for upload in (done, aborting)}
    fleet.lose_redis()
    for upload_id, data in saved.items():
        fleet.client.restore(f"{PREFIX}{{{upload_id}}}", 0, data)
    with pytest.raises(Done):
        uploads.begin_completion(CALLER, BUCKET, done.id)
    with pytest.raises(NoSuchUpload):
        uploads.begin_completion(CALLER, BUCKET, aborting.id)
    assert uploads.states([done.id, aborting.id, HASH]) == [State.DONE, State.ABORTING, State.UNKNOWN]
    assert fleet.backend.loads == 0


def test_redis_that_loses_everything_all_the_time_is_an_error_of_redis(fleet: Fleet) -> None:
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    client = fleet.client
    client.flushall()
    uploads._restore = lambda *_: None  # type: ignore[method-assign]
    for call in (
        lambda: uploads.parts(CALLER, BUCKET, upload.id, 0, 1),
        lambda: uploads.begin_completion(CALLER, BUCKET, upload.id),
    ):
        with pytest.raises(redis.RedisError):
            call()


def test_without_redis_nothing_begins(fleet: Fleet) -> None:
    uploads = fleet.worker()
    fleet.server.kill()
    try:
        with pytest.raises(redis.RedisError):
            fleet.begin(uploads)
        assert list(fleet.backend.list_uploads(CALLER, BUCKET)) == []
    finally:
        fleet.server.start()


# -- size and slots


def test_ten_thousand_parts_are_restored(fleet: Fleet) -> None:
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    for number in range(1, 10_001):
        fleet.stored(upload, number, b"x")
    fleet.lose_redis()
    _, parts = uploads.begin_completion(CALLER, BUCKET, upload.id)
    assert len(parts) == 10_000
    slowest = max((entry["duration"] for entry in fleet.client.slowlog_get(10)), default=0)
    assert slowest < 500_000, "microseconds of the slowest command"


def slot(key: bytes) -> int:
    """Where a cluster keeps a key: CRC-16 of its hash tag (Redis Cluster specification, "Key distribution model")."""
    _, brace, rest = key.partition(b"{")
    tag = rest.partition(b"}")[0] if brace and b"}" in rest and rest.partition(b"}")[0] else key
    crc = 0
    for byte in tag:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1 & 0xFFFF
    return crc % 16384


def test_commands_of_one_step_stay_in_one_slot(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    assert slot(b"123456789") == 0x31C3 % 16384
    uploads = fleet.worker()
    steps: list[set[int]] = []
    real_script = redis.commands.core.Script.__call__
    real_pipeline = redis.client.Pipeline.execute

    def script(self: Any, keys: Any = None, args: Any = None, client: Any = None) -> Any:
        steps.append({slot(key.encode()) for key in keys})
        return real_script(self, keys, args, client)

    def execute(self: Any, *arguments: Any) -> Any:
        if self.explicit_transaction or self.transaction:
            steps.append({slot(str(command[0][1]).encode()) for command in self.command_stack})
        return real_pipeline(self, *arguments)

    monkeypatch.setattr(redis.commands.core.Script, "__call__", script)
    monkeypatch.setattr(redis.client.Pipeline, "execute", execute)
    upload = fleet.begin(uploads)
    part = fleet.put(uploads, upload, 1)
    fleet.lose_redis()
    uploads.begin_completion(CALLER, BUCKET, upload.id)
    uploads.finish(CALLER, BUCKET, upload, fleet.publish(upload, [part]))
    uploads.abort(CALLER, BUCKET, fleet.begin(uploads))
    assert len(steps) > 8
    assert all(len(slots) == 1 for slots in steps)


def test_every_key_ends_by_itself(fleet: Fleet) -> None:
    uploads = fleet.worker()
    fleet.put(uploads, fleet.begin(uploads), 1)
    uploads.finish(CALLER, BUCKET, fleet.begin(uploads), DONE)
    uploads.index.page(CALLER, BUCKET, prefix="", delimiter="", key_marker="", id_marker="", limit=10)
    keys = fleet.keys()
    assert len(keys) == 5
    assert all(key.startswith("shardgate:v1:") and fleet.client.ttl(key) > 0 for key in keys)


def test_a_lock_is_had_by_one_and_told_when_it_is_not(fleet: Fleet) -> None:
    client = fleet.client
    with lock(client, "name", lifetime=10, wait=0), pytest.raises(LockNotHad), lock(client, "name", lifetime=1, wait=0):
        pytest.fail("two hold one lock")
    with lock(client, "name", lifetime=0.01, wait=0):
        time.sleep(0.02)
        with lock(client, "name", lifetime=10, wait=0):
            pass
    assert client.get("name") is None
