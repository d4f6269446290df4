from dataclasses import replace

import pytest

from api.datasets.uploads.metadata import kind_of
from api.domain.access.principal import ROLE_PERMISSIONS, Credential, Principal, Role, current_principal
from api.domain.access.read_scope import ReadScope, seeing
from api.domain.datasets.upload import UploadKind, UploadStatus
from api.errors import (
    DatasetExists,
    DatasetIsRegistered,
    InsufficientStorage,
    Invalid,
    NotYours,
    QuotaExceeded,
    StorageFull,
    TooLarge,
    UploadConflict,
    UploadNotFound,
)
from api.util.http.pagination import PageRequest
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.upload_parts import Dock

ANN = Principal("ann", Role.TRAINER, ROLE_PERMISSIONS[Role.TRAINER], Credential.KEY)
BOB = replace(ANN, user_id="bob")
ROOT = Principal("root", Role.ADMIN, ROLE_PERMISSIONS[Role.ADMIN], Credential.KEY)


@pytest.fixture
def dock(shelf: Shelf) -> Dock:
    return Dock(shelf)


@pytest.fixture
def as_ann():
    token = current_principal.set(ANN)
    yield
    current_principal.reset(token)


def begin(dock: Dock, size: int = 10, **metadata: str) -> str:
    return dock.service.begin(size, {"dataset": "cats", **metadata}).upload_id


@pytest.mark.usefixtures("as_ann")
def test_upload_belongs_to_its_creator(dock: Dock):
    assert dock.store.get(begin(dock)).owner == "ann"


@pytest.mark.usefixtures("as_ann")
def test_quota_includes_announced_bytes(dock: Dock):
    begin(dock, 600)
    dock.bound.most = 1000
    with pytest.raises(QuotaExceeded):
        begin(dock, 500)
    assert dock.bound.checked[-1] == ("ann", 1100)
    begin(dock, 400)


def test_disk_must_have_space_for_all_announced_bytes(shelf: Shelf):
    dock = Dock(shelf, most=2**60)
    dock.bound.most = 2**60
    free = dock.files
    free.prepare()
    with pytest.raises(InsufficientStorage) as rejected:
        begin(dock, free.free_bytes() + 2**40)
    assert rejected.value.data["available_bytes"] > 0
    begin(dock, int(free.free_bytes() * 0.7))
    with pytest.raises(InsufficientStorage):
        begin(dock, int(free.free_bytes() * 0.7))


def test_upload_size_is_limited(dock: Dock):
    with pytest.raises(TooLarge) as rejected:
        begin(dock, 10**6 + 1)
    assert rejected.value.headers == {"Tus-Max-Size": "1000000"}


@pytest.mark.usefixtures("as_ann")
def test_only_owners_and_administrators_upload_into_a_dataset(dock: Dock):
    dock.shelf.make("cats", BOB)
    with pytest.raises(NotYours):
        begin(dock)
    with seeing(ReadScope("ann", sees_all=False)), pytest.raises(DatasetExists):
        begin(dock)
    token = current_principal.set(ROOT)
    begin(dock)
    current_principal.reset(token)


def test_registered_directory_accepts_no_uploads(dock: Dock):
    dock.shelf.make("cats", directory="/somewhere")
    with pytest.raises(DatasetIsRegistered):
        begin(dock)


def test_null_metadata_counts_as_missing(dock: Dock):
    upload = dock.store.get(begin(dock, relativePath="null", filename="x.png", kind="undefined"))
    assert (upload.filename, upload.kind) == ("x.png", None)


def test_relative_path_is_put_before_the_name(dock: Dock):
    assert dock.store.get(begin(dock, relativePath="a/x.png", filename="x.png")).filename == "a/x.png"


def test_all_errors_are_reported_together(dock: Dock):
    with pytest.raises(Invalid) as rejected:
        dock.service.begin(1, {"dataset": "is missing", "filename": "..", "kind": "model"})
    assert [each.pointer for each in rejected.value.mistakes] == [
        "/Upload-Metadata/dataset",
        "/Upload-Metadata/filename",
        "/Upload-Metadata/kind",
    ]


def test_kind_is_detected_unless_the_client_sets_it(dock: Dock):
    assert dock.upload(b"PK\x03\x04...").kind is UploadKind.ARCHIVE
    assert dock.upload(b"PNG").kind is UploadKind.ITEM
    assert dock.upload(b"PK\x03\x04...", kind="item").kind is UploadKind.ITEM
    assert (kind_of(b"x" * 257 + b"ustar"), kind_of(b"")) == (UploadKind.ARCHIVE, UploadKind.ITEM)


def test_complete_upload_accepts_no_more_bytes(dock: Dock):
    upload = dock.upload(b"PNG")
    assert upload.status is UploadStatus.RECEIVED
    with pytest.raises(UploadConflict) as rejected:
        dock.service.open(upload.upload_id, 3, 1, None)
    assert rejected.value.data == {"offset": 3}


def test_listener_is_called_immediately(dock: Dock):
    calls: list[int] = []
    dock.service.on_received(lambda: calls.append(1))
    dock.upload(b"PNG")
    dock.upload(b"")
    assert calls == [1, 1]


def test_too_large_form_upload_is_rejected_before_it_is_sent(dock: Dock):
    with pytest.raises(TooLarge):
        dock.service.begin_form(10**6 + 1)
    dock.bound.most = 10
    with pytest.raises(QuotaExceeded):
        dock.service.begin_form(11)


def test_form_upload_is_discarded_unless_it_is_processed(dock: Dock):
    discarded = dock.service.begin_form().upload_id
    dock.service.discard(discarded)
    with pytest.raises(UploadNotFound):
        dock.store.get(discarded)
    stored = dock.service.begin_form().upload_id
    dock.service.hand_over(stored, "cats", "x.png", "preprocess_1", {"prompt": "a cat"})
    dock.service.discard(stored)
    found = dock.store.get(stored)
    assert (found.dataset, found.task_id, found.metadata) == ("cats", "preprocess_1", {"prompt": "a cat"})


def test_discarded_upload_frees_the_disk_even_if_the_database_is_full(dock: Dock, monkeypatch: pytest.MonkeyPatch):
    discarded = dock.service.begin_form().upload_id
    incoming = dock.service.open(discarded, 0, None, None)
    incoming.write(b"x" * 1000)
    dock.service.close(incoming, is_whole=False)

    def full(*_: object) -> bool:
        raise StorageFull

    monkeypatch.setattr(dock.store, "remove", full)
    with pytest.raises(StorageFull):
        dock.service.discard(discarded)
    assert dock.files.offset(discarded) == 0


@pytest.mark.usefixtures("as_ann")
def test_hidden_uploads_are_not_listed(dock: Dock):
    begin(dock)
    with seeing(ReadScope("bob", sees_all=False)):
        assert dock.service.get_page([], None, PageRequest()).rows == ()
        assert dock.service.get_page([], "ann", PageRequest()).rows == ()
    with seeing(ReadScope("ann", sees_all=False)):
        assert len(dock.service.get_page([], None, PageRequest()).rows) == 1


@pytest.mark.usefixtures("as_ann")
def test_announced_bytes_reserve_no_disk_from_other_owners(shelf: Shelf):
    dock = Dock(shelf, most=2**60)
    dock.bound.most = 2**60
    dock.files.prepare()
    most = int(dock.files.free_bytes() * 0.7)
    begin(dock, most)
    with pytest.raises(InsufficientStorage, match="your uploads"):
        begin(dock, most)
    current_principal.set(BOB)
    begin(dock, most, dataset="dogs")
