from dataclasses import replace

import pytest

from api.datasets.upload_metadata import kind_of
from api.domain.access import ROLE_PERMISSIONS, Credential, Principal, Role, current_principal
from api.domain.sight import Sight, seeing
from api.domain.upload import UploadKind, UploadStatus
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
from api.util.pagination import PageRequest
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
def test_an_upload_belongs_to_whoever_began_it(dock: Dock):
    assert dock.store.get(begin(dock)).owner == "ann"


@pytest.mark.usefixtures("as_ann")
def test_a_quota_counts_what_is_announced_already(dock: Dock):
    begin(dock, 600)
    dock.bound.most = 1000
    with pytest.raises(QuotaExceeded):
        begin(dock, 500)
    assert dock.bound.asked[-1] == ("ann", 1100)
    begin(dock, 400)


def test_the_disk_must_have_room_for_all_that_is_announced(shelf: Shelf):
    dock = Dock(shelf, most=2**60)
    dock.bound.most = 2**60
    free = dock.files
    free.prepare()
    with pytest.raises(InsufficientStorage) as refused:
        begin(dock, free.free_bytes() + 2**40)
    assert refused.value.data["available_bytes"] > 0
    begin(dock, int(free.free_bytes() * 0.7))
    with pytest.raises(InsufficientStorage):
        begin(dock, int(free.free_bytes() * 0.7))


def test_an_upload_has_a_largest_size(dock: Dock):
    with pytest.raises(TooLarge) as refused:
        begin(dock, 10**6 + 1)
    assert refused.value.headers == {"Tus-Max-Size": "1000000"}


@pytest.mark.usefixtures("as_ann")
def test_nobody_uploads_into_anothers_dataset_but_administrators(dock: Dock):
    dock.shelf.make("cats", BOB)
    with pytest.raises(NotYours):
        begin(dock)
    with seeing(Sight("ann", sees_all=False)), pytest.raises(DatasetExists):
        begin(dock)
    token = current_principal.set(ROOT)
    begin(dock)
    current_principal.reset(token)


def test_a_directory_on_the_server_takes_none(dock: Dock):
    dock.shelf.make("cats", directory="/somewhere")
    with pytest.raises(DatasetIsRegistered):
        begin(dock)


def test_a_client_that_has_nothing_to_say_may_say_null(dock: Dock):
    upload = dock.store.get(begin(dock, relativePath="null", filename="x.png", kind="undefined"))
    assert (upload.filename, upload.kind) == ("x.png", None)


def test_a_path_below_the_dataset_goes_before_the_name(dock: Dock):
    assert dock.store.get(begin(dock, relativePath="a/x.png", filename="x.png")).filename == "a/x.png"


def test_all_mistakes_are_told_at_once(dock: Dock):
    with pytest.raises(Invalid) as refused:
        dock.service.begin(1, {"dataset": "no name", "filename": "..", "kind": "model"})
    assert [each.pointer for each in refused.value.mistakes] == [
        "/Upload-Metadata/dataset",
        "/Upload-Metadata/filename",
        "/Upload-Metadata/kind",
    ]


def test_the_kind_is_what_the_content_says_unless_the_client_does(dock: Dock):
    assert dock.upload(b"PK\x03\x04...").kind is UploadKind.ARCHIVE
    assert dock.upload(b"PNG").kind is UploadKind.ITEM
    assert dock.upload(b"PK\x03\x04...", kind="item").kind is UploadKind.ITEM
    assert (kind_of(b"x" * 257 + b"ustar"), kind_of(b"")) == (UploadKind.ARCHIVE, UploadKind.ITEM)


def test_what_is_whole_takes_no_more(dock: Dock):
    upload = dock.upload(b"PNG")
    assert upload.status is UploadStatus.RECEIVED
    with pytest.raises(UploadConflict) as refused:
        dock.service.open(upload.upload_id, 3, 1, None)
    assert refused.value.data == {"offset": 3}


def test_whoever_waits_for_uploads_is_told_at_once(dock: Dock):
    told: list[int] = []
    dock.service.on_received(lambda: told.append(1))
    dock.upload(b"PNG")
    dock.upload(b"")
    assert told == [1, 1]


def test_an_upload_by_form_that_says_its_size_is_refused_before_it_comes(dock: Dock):
    with pytest.raises(TooLarge):
        dock.service.begin_whole(10**6 + 1)
    dock.bound.most = 10
    with pytest.raises(QuotaExceeded):
        dock.service.begin_whole(11)


def test_an_upload_by_form_is_discarded_until_something_is_to_become_of_it(dock: Dock):
    gone = dock.service.begin_whole().upload_id
    dock.service.discard(gone)
    with pytest.raises(UploadNotFound):
        dock.store.get(gone)
    kept = dock.service.begin_whole().upload_id
    dock.service.hand_over(kept, "cats", "x.png", "preprocess_1", {"prompt": "a cat"})
    dock.service.discard(kept)
    found = dock.store.get(kept)
    assert (found.dataset, found.task_id, found.metadata) == ("cats", "preprocess_1", {"prompt": "a cat"})


def test_what_is_discarded_frees_the_disk_though_the_database_has_no_room(dock: Dock, monkeypatch: pytest.MonkeyPatch):
    gone = dock.service.begin_whole().upload_id
    incoming = dock.service.open(gone, 0, None, None)
    incoming.write(b"x" * 1000)
    dock.service.close(incoming, is_whole=False)

    def full(*_: object) -> bool:
        raise StorageFull

    monkeypatch.setattr(dock.store, "remove", full)
    with pytest.raises(StorageFull):
        dock.service.discard(gone)
    assert dock.files.offset(gone) == 0


@pytest.mark.usefixtures("as_ann")
def test_others_uploads_are_not_listed_where_they_are_hidden(dock: Dock):
    begin(dock)
    with seeing(Sight("bob", sees_all=False)):
        assert dock.service.get_page([], None, PageRequest()).rows == ()
        assert dock.service.get_page([], "ann", PageRequest()).rows == ()
    with seeing(Sight("ann", sees_all=False)):
        assert len(dock.service.get_page([], None, PageRequest()).rows) == 1


@pytest.mark.usefixtures("as_ann")
def test_announcing_an_upload_takes_no_disk_from_other_owners(shelf: Shelf):
    dock = Dock(shelf, most=2**60)
    dock.bound.most = 2**60
    dock.files.prepare()
    most = int(dock.files.free_bytes() * 0.7)
    begin(dock, most)
    with pytest.raises(InsufficientStorage, match="your uploads"):
        begin(dock, most)
    current_principal.set(BOB)
    begin(dock, most, dataset="dogs")
