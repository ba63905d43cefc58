"""The janitor: abandoned uploads, leftovers of killed workers, several janitors at once."""

from __future__ import annotations

from functools import partial

import pytest

from backends.testkit.harness import all_fine, together
from tests.unit.state.conftest import BUCKET, CALLER, Fleet
from workers.state import uploads as uploads_module
from workers.state.upload_janitor import UploadJanitor
from workers.state.uploads import PREFIX, Done, Uploads

WEEK = 7 * 86400.0


def janitor(fleet: Fleet, uploads: Uploads, days: float = 0) -> UploadJanitor:
    now = fleet.clock + int(days * 86400e9)
    return UploadJanitor(uploads, fleet.backend, CALLER, clock=lambda: now)


def sweep(fleet: Fleet, uploads: Uploads, days: float = 0) -> int:
    return janitor(fleet, uploads, days).sweep(max_age=WEEK, leftover_age=86400)


def open_ids(fleet: Fleet) -> set[str]:
    return {upload.id for upload in fleet.backend.list_uploads(CALLER, BUCKET)}


@pytest.fixture
def uploads(fleet: Fleet) -> Uploads:
    return fleet.worker()


def test_young_uploads_stay(fleet: Fleet, uploads: Uploads) -> None:
    upload = fleet.begin(uploads)
    assert sweep(fleet, uploads, days=6.9) == 0
    assert open_ids(fleet) == {upload.id}


@pytest.mark.parametrize("lost", [False, True])
def test_abandoned_uploads_go_with_all_they_left(fleet: Fleet, uploads: Uploads, lost: bool) -> None:
    for key in ("a", "b"):
        uploads.add_part(CALLER, BUCKET, upload := fleet.begin(uploads, key), fleet.stored(upload, 1))
    if lost:
        fleet.lose_redis()
    # Parts of the tests are as old as the tests: the clock of the janitor counts from them.
    late = UploadJanitor(uploads, fleet.backend, CALLER)
    assert late.sweep(max_age=-60, leftover_age=86400) == 2
    assert open_ids(fleet) == set()
    assert fleet.keys() == set()


def test_an_upload_with_a_young_part_is_not_abandoned(fleet: Fleet, uploads: Uploads) -> None:
    upload = fleet.begin(uploads)
    fleet.put(uploads, upload, 1)
    assert UploadJanitor(uploads, fleet.backend, CALLER).sweep(max_age=3600, leftover_age=0) == 0
    assert open_ids(fleet) == {upload.id}


def test_an_upload_that_is_being_completed_is_left_alone(fleet: Fleet, uploads: Uploads) -> None:
    upload = fleet.begin(uploads)
    uploads.begin_completion(CALLER, BUCKET, upload.id)
    assert sweep(fleet, uploads, days=30) == 0
    assert janitor(fleet, uploads, days=30).abort_older(BUCKET, WEEK) == 0
    assert open_ids(fleet) == {upload.id}


def test_what_a_worker_left_that_was_killed_before_it_told_redis(
    fleet: Fleet, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads_module, "LEASE_MS", 0)
    upload = fleet.begin(uploads)
    part = fleet.put(uploads, upload, 1)
    uploads.begin_completion(CALLER, BUCKET, upload.id)
    published = fleet.publish(upload, [part])
    assert sweep(fleet, uploads) == 1
    assert open_ids(fleet) == set()
    with pytest.raises(Done) as done:
        uploads.begin_completion(CALLER, BUCKET, upload.id)
    assert done.value.record == published
    assert sweep(fleet, uploads) == 0


def test_what_a_worker_left_that_was_killed_after_it_told_redis(fleet: Fleet, uploads: Uploads) -> None:
    upload = fleet.begin(uploads)
    part = fleet.put(uploads, upload, 1)
    published = fleet.publish(upload, [part])
    removing = fleet.backend.abort_upload
    fleet.backend.abort_upload = lambda *_: None  # type: ignore[method-assign]
    uploads.finish(CALLER, BUCKET, upload, published)
    fleet.backend.abort_upload = removing  # type: ignore[method-assign]
    assert open_ids(fleet) == {upload.id}
    assert sweep(fleet, uploads) == 1
    assert open_ids(fleet) == set()


def test_what_was_published_before_redis_was_lost(fleet: Fleet, uploads: Uploads) -> None:
    upload = fleet.begin(uploads)
    part = fleet.put(uploads, upload, 1)
    fleet.publish(upload, [part])
    other = fleet.begin(uploads, "open")
    fleet.lose_redis()
    assert sweep(fleet, uploads) == 1
    assert open_ids(fleet) == {other.id}


def test_an_abortion_that_was_begun_is_finished(fleet: Fleet, uploads: Uploads) -> None:
    upload = fleet.begin(uploads)
    fleet.client.hset(f"{PREFIX}{{{upload.id}}}", "state", "aborting")
    assert sweep(fleet, uploads) == 1
    assert open_ids(fleet) == set()
    assert fleet.keys() == set()


def test_entries_without_upload_are_dropped(fleet: Fleet, uploads: Uploads) -> None:
    upload = fleet.begin(uploads)
    fleet.backend.abort_upload(CALLER, BUCKET, upload.id)
    assert sweep(fleet, uploads) == 1
    assert fleet.keys() == set()


def test_parts_of_uploads_that_are_over_are_swept_when_they_are_old(fleet: Fleet, uploads: Uploads) -> None:
    """A process that is killed while it aborts, in the contract's default."""
    upload, other = fleet.begin(uploads), fleet.begin(uploads)
    for number in (1, 2):
        fleet.stored(upload, number)
        fleet.stored(other, number)
    fleet.backend.delete_object(CALLER, ".shardgate-uploads", f"{BUCKET}/open/{upload.id}")
    assert fleet.backend.sweep_uploads(CALLER, 3600) == 0
    assert fleet.backend.sweep_uploads(CALLER, -1) == 2
    assert len(fleet.backend.load_upload(CALLER, BUCKET, other.id).parts) == 2


def test_uploads_of_a_bucket_that_is_gone_are_swept(fleet: Fleet, uploads: Uploads) -> None:
    fleet.put(uploads, fleet.begin(uploads), 1)
    fleet.backend.delete_bucket(CALLER, BUCKET)
    assert fleet.backend.sweep_uploads(CALLER, -1) == 2
    assert list(fleet.backend.scan(CALLER, ".shardgate-uploads", "", "")) == []


def test_several_janitors_at_once(fleet: Fleet) -> None:
    workers = [fleet.worker() for _ in range(4)]
    for number in range(30):
        fleet.begin(workers[number % 4], f"key{number}")
    outcomes = all_fine(together([partial(sweep, fleet, worker, 30) for worker in workers]))
    assert sum(outcomes) >= 30
    assert open_ids(fleet) == set()
    assert fleet.keys() == set()


def test_a_bucket_that_goes_meanwhile_does_not_stop_the_sweep(fleet: Fleet, uploads: Uploads) -> None:
    fleet.begin(uploads)
    real = fleet.backend.list_buckets
    fleet.backend.list_buckets = lambda caller: [*real(caller), real(caller)[0].__class__(name="gone", created=1)]  # type: ignore[method-assign]
    assert sweep(fleet, uploads, days=30) == 1
