from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.datasets.records.upload_store import UploadStore
from api.db.database import Database
from api.domain.datasets.upload import NewUpload, UploadKind, UploadProblem, UploadResult, UploadStatus
from api.errors import UploadNotFound
from api.util.http.pagination import PageRequest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

ONE = NewUpload("one", "ada", UploadKind.ITEM, "a/b.png", "cats", {"filename": "b.png"}, 100, NOW, LATER)
RESULT = UploadResult("cats", 3, added=2, changed=0, left_out=1, paths=("a/b.png",), num_repeats={"3_cat": 3})


@pytest.fixture
def store(database: Database) -> UploadStore:
    return UploadStore(database, lambda: "here")


def test_upload_is_stored_as_it_was_announced(store: UploadStore):
    made = store.add(ONE)
    assert store.get("one") == made
    assert (made.owner, made.kind, made.filename, made.size_bytes) == ("ada", UploadKind.ITEM, "a/b.png", 100)
    assert (made.status, made.expires_at, made.metadata) == (UploadStatus.RECEIVING, LATER, {"filename": "b.png"})


def test_upload_of_another_store_is_not_found(store: UploadStore, database: Database):
    store.add(ONE)
    elsewhere = UploadStore(database, lambda: "elsewhere")
    with pytest.raises(UploadNotFound):
        elsewhere.get("one")
    assert not elsewhere.remove("one", UploadStatus.RECEIVING)
    assert elsewhere.known(["one", "two"]) == {"one"}


def test_upload_changes_its_status_once_each(store: UploadStore):
    store.add(ONE)
    assert store.receive("one", NOW, 100, kind=UploadKind.ARCHIVE)
    assert not store.receive("one", NOW, 100)
    assert [each.upload_id for each in store.oldest(UploadStatus.RECEIVED, 10)] == ["one"]
    assert store.complete("one", NOW, LATER, RESULT)
    assert not store.fail("one", NOW, LATER, UploadProblem("archive_refused", "no", "x"))
    assert (store.get("one").result, store.get("one").kind) == (RESULT, UploadKind.ARCHIVE)


def test_failed_upload_has_its_reason(store: UploadStore):
    store.add(ONE)
    store.receive("one", NOW, 100)
    problem = UploadProblem("archive_refused", "it is empty")
    assert store.fail("one", NOW, LATER, problem)
    assert store.get("one").problem == problem


def test_page_is_filtered_and_has_the_newest_first(store: UploadStore):
    made = [store.add(replace(ONE, upload_id=f"u{n}", owner="ada" if n % 2 else "bob")) for n in range(5)]
    page = store.page("bob", [], PageRequest(2))
    assert ([each.upload_id for each in page.rows], page.pagination.total) == (["u4", "u2"], 3)
    assert [each.upload_id for each in store.page("bob", [], PageRequest(2, cursor=str(made[2].serial))).rows] == ["u0"]
    assert store.page(None, [UploadStatus.FAILED], PageRequest(10)).rows == ()


def test_upload_expires_unless_it_is_being_processed(store: UploadStore):
    store.add(ONE)
    assert store.expired(LATER - timedelta(seconds=1), 10) == []
    assert [each.upload_id for each in store.expired(LATER, 10)] == ["one"]
    store.extend("one", NOW, LATER + timedelta(hours=1))
    assert store.expired(LATER, 10) == []
    store.receive("one", NOW, 100)
    assert store.expired(LATER + timedelta(days=1), 10) == []


def test_announced_bytes_are_summed_until_completion(store: UploadStore):
    store.add(ONE)
    store.add(replace(ONE, upload_id="two", owner="bob", size_bytes=None))
    store.add(replace(ONE, upload_id="three", owner="bob", size_bytes=7))
    assert store.announced_sizes("bob") == {"two": 0, "three": 7}
    assert (store.announced_sizes(ONE.owner), store.announced_sizes("eve")) == ({"one": 100}, {})
    store.receive("three", NOW, 7)
    store.complete("three", NOW, LATER, RESULT)
    assert store.announced_sizes("bob") == {"two": 0}


def test_upload_is_deleted_only_in_the_given_statuses(store: UploadStore):
    store.add(ONE)
    assert not store.remove("one", UploadStatus.FAILED)
    assert store.remove("one", UploadStatus.RECEIVING, UploadStatus.FAILED)
    with pytest.raises(UploadNotFound):
        store.get("one")


def test_task_finds_its_upload(store: UploadStore):
    store.add(ONE)
    store.receive("one", NOW, 100, task_id="preprocess_1")
    found = store.find_task("preprocess_1")
    assert found is not None
    assert found.upload_id == "one"
    assert store.find_task("other") is None


def test_upload_waits_no_longer_than_the_limit(store: UploadStore):
    store.add(ONE)
    store.bound(LATER - timedelta(seconds=5))
    assert store.get("one").expires_at == LATER - timedelta(seconds=5)
    store.bound(LATER)
    assert store.get("one").expires_at == LATER - timedelta(seconds=5)


def test_first_upload_of_each_owner_is_the_oldest_waiting(store: UploadStore):
    for upload_id, owner in (("a1", "ann"), ("a2", "ann"), ("b1", "bob"), ("n1", None)):
        store.add(replace(ONE, upload_id=upload_id, owner=owner, kind=UploadKind.ARCHIVE))
        store.receive(upload_id, NOW, 100)
    store.add(replace(ONE, upload_id="c1", owner="cid", kind=UploadKind.ARCHIVE))
    assert [each.upload_id for each in store.first_of_each_owner(UploadKind.ARCHIVE, [])] == ["a1", "b1", "n1"]
    assert [each.upload_id for each in store.first_of_each_owner(UploadKind.ARCHIVE, ["a1", "n1"])] == ["a2", "b1"]
    assert store.first_of_each_owner(UploadKind.ITEM, []) == []
