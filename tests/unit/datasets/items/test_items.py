import os
from dataclasses import replace
from pathlib import Path

import pytest

from api.datasets.items.items import ItemFiles
from api.datasets.items.media import DatasetMedia
from api.datasets.records.dataset_store import DatasetStore
from api.datasets.records.media_facts import MediaFactsStore
from api.db.database import Database
from api.domain.datasets.dataset import ItemFilter, ManifestItem, item_id_of
from api.errors import BlobMissing, ItemNotFound, VersionNotFound
from api.util.http.pagination import PageRequest
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.media_fakes import FakeDecoder, FakeDirectory

ALL = ItemFilter()


def test_items_are_paged_by_path(shelf: Shelf):
    shelf.make()
    shelf.version(*(shelf.item(f"{name}.png") for name in "edcba"))
    first = shelf.items.get_page("cats", None, ALL, PageRequest(limit=2))
    second = shelf.items.get_page("cats", None, ALL, PageRequest(limit=2, cursor=first.pagination.next_cursor))
    assert [item.name for item in (*first.rows, *second.rows)] == ["a.png", "b.png", "c.png", "d.png"]
    assert (first.pagination.total, second.pagination.has_more) == (5, True)


def test_earlier_version_lists_its_items(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png"))
    shelf.version(shelf.item("b.png"))
    assert [item.name for item in shelf.items.get_page("cats", "1", ALL, PageRequest()).rows] == ["a.png"]


def test_dataset_without_a_version_has_an_empty_page(shelf: Shelf):
    shelf.make()
    assert shelf.items.get_page("cats", None, ALL, PageRequest()).pagination.total == 0
    with pytest.raises(VersionNotFound):
        shelf.items.get_page("cats", "1", ALL, PageRequest())


def test_item_is_found_by_its_id_in_every_version(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png", b"1"))
    shelf.version(shelf.item("a.png", b"22", mask_sha256=shelf.blob(b"mask")))
    new, old = (shelf.items.get("cats", item_id_of("a.png"), version) for version in (None, "1"))
    assert (new.size_bytes, new.has_mask, old.size_bytes, old.has_mask) == (2, True, 1, False)
    assert new.kind is None  # not examined yet


def test_unknown_item_is_reported(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png"))
    with pytest.raises(ItemNotFound):
        shelf.items.get("cats", "0" * 16)


@pytest.fixture
def files(shelf: Shelf, sqlite: Database) -> ItemFiles:
    return ItemFiles(shelf.items, DatasetMedia(MediaFactsStore(sqlite), shelf.blobs, FakeDecoder(), shelf.clock))


def read(files: ItemFiles, path: str) -> bytes:
    opened = files.open("cats", item_id_of(path))
    with os.fdopen(opened.descriptor, "rb") as file:
        assert (opened.name, opened.size) == (path.rsplit("/", 1)[-1], os.fstat(opened.descriptor).st_size)
        return file.read()


def test_file_of_an_item_is_opened(shelf: Shelf, files: ItemFiles):
    shelf.make()
    shelf.version(shelf.item("below/a.png", b"content"))
    assert read(files, "below/a.png") == b"content"


def test_missing_file_is_reported(shelf: Shelf, files: ItemFiles):
    shelf.make()
    item = shelf.item("a.png")
    shelf.version(item)
    shelf.blobs.path(item.sha256).unlink()
    with pytest.raises(BlobMissing):
        files.open("cats", item.item_id)


@pytest.mark.parametrize("link", ["a.png", "below"])
def test_no_link_leads_out_of_a_registered_directory(
    shelf: Shelf, sqlite: Database, tmp_path: Path, link: str, monkeypatch: pytest.MonkeyPatch
):
    registered, outside = tmp_path / "registered", tmp_path / "outside"
    (registered / "below").mkdir(parents=True)
    (registered / "below" / "a.png").write_bytes(b"inside")
    (outside / "below").mkdir(parents=True)
    (outside / "below" / "a.png").write_bytes(b"secret")
    shelf.make()
    item = ManifestItem("below/a.png", shelf.blob(b"inside"), 6)
    shelf.version(item)
    there = FakeDirectory({item.sha256: registered / "below" / "a.png"})
    media = DatasetMedia(MediaFactsStore(sqlite), shelf.blobs, FakeDecoder(), shelf.clock, there)
    files = ItemFiles(shelf.items, media)
    dataset = replace(shelf.store.get("cats"), directory=str(registered))
    monkeypatch.setattr(DatasetStore, "get", lambda *_: dataset)
    assert read(files, "below/a.png") == b"inside"
    target = registered / "below" if link == "below" else registered / "below" / "a.png"
    if link == "below":
        (target / "a.png").unlink()
        target.rmdir()
        target.symlink_to(outside / "below")
    else:
        target.unlink()
        target.symlink_to(outside / "below" / "a.png")
    with pytest.raises(BlobMissing):
        files.open("cats", item_id_of("below/a.png"))
