"""Edits of the items of a dataset."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from api.datasets.item_edits import ItemChanges, ItemEditor
from api.domain.datasets.dataset import item_id_of, read_manifest, write_manifest
from api.errors import DatasetChanged, Invalid, ItemNotFound
from tests.unit.datasets.conftest import Shelf

A, B = item_id_of("a.png"), item_id_of("b.png")


@pytest.fixture
def editor(shelf: Shelf) -> ItemEditor:
    shelf.make()
    shelf.version(shelf.item("a.png"), shelf.item("b.png", mask_sha256=shelf.blob(b"mask")), shelf.item("c.png"))
    return ItemEditor(shelf.service)


def change(editor: ItemEditor, remove: str = "", exclude: str = "", include: str = "", **more: object) -> object:
    sets = (frozenset([item_id_of(path) for path in paths.split()]) for paths in (remove, exclude, include))
    return editor.edit("cats", ItemChanges(*sets, **more), "ann", dry_run=False)


def paths(shelf: Shelf, *, trained: bool = False) -> list[str]:
    latest = shelf.service.find_version(shelf.store.get("cats"))
    items = shelf.service.read_items(latest.manifest_sha256)
    return [item.path for item in items if not (trained and item.excluded)]


def test_exclusion_changes_the_manifest_and_its_absence_does_not(shelf: Shelf, editor: ItemEditor):
    first = shelf.service.find_version(shelf.store.get("cats"))
    assert b"excluded" not in b"".join(shelf.blobs.lines(first.manifest_sha256))
    change(editor, exclude="a.png")
    second = shelf.service.find_version(shelf.store.get("cats"))
    assert second.manifest_sha256 != first.manifest_sha256
    assert (second.items, second.excluded, second.included) == (3, 1, 2)
    lines = list(shelf.blobs.lines(second.manifest_sha256))
    assert list(write_manifest(read_manifest(lines))) == lines


def test_removed_item_loses_its_mask(shelf: Shelf, editor: ItemEditor):
    change(editor, remove="b.png")
    latest = shelf.service.find_version(shelf.store.get("cats"))
    assert paths(shelf) == ["a.png", "c.png"]
    assert b"mask" in shelf.blobs.path(shelf.blob(b"mask")).read_bytes()  # an earlier version still needs it
    assert all(item.mask_sha256 is None for item in shelf.service.read_items(latest.manifest_sha256))


def test_concurrent_edits_without_expected_version_all_succeed(shelf: Shelf, editor: ItemEditor):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda path: change(editor, exclude=path), ("a.png", "b.png")))
    assert paths(shelf, trained=True) == ["c.png"]


def test_one_edit_removes_excludes_and_includes(shelf: Shelf, editor: ItemEditor):
    change(editor, exclude="a.png")
    made = change(editor, remove="c.png", include="a.png", exclude="b.png")
    assert (made.removed, made.excluded, made.included, made.trained) == (1, 1, 1, 1)
    assert (paths(shelf), paths(shelf, trained=True)) == (["a.png", "b.png"], ["a.png"])
    assert made.version.message == "1 item removed, 1 item excluded, 1 item included"
    assert made.version.origin == {"edited": 2, "removed": 1, "excluded": 1, "included": 1}


def test_exclusion_reuses_rows(shelf: Shelf, editor: ItemEditor):
    latest = shelf.store.get_version(shelf.store.get("cats").serial, 1)
    before = shelf.service.index(latest.manifest_sha256)
    change(editor, exclude="a.png")
    assert shelf.rows.get(before, A).item.excluded
    assert not shelf.rows.get(before, B).item.excluded


def test_last_trained_item_cannot_be_removed(shelf: Shelf, editor: ItemEditor):
    for rejected in ({"remove": "a.png b.png c.png"}, {"exclude": "a.png b.png c.png"}):
        with pytest.raises(Invalid):
            change(editor, **rejected)
    change(editor, exclude="a.png b.png")
    with pytest.raises(Invalid):
        change(editor, remove="c.png")
    assert shelf.store.get("cats").latest == 2


def test_unknown_items_and_older_versions_are_rejected(editor: ItemEditor):
    with pytest.raises(ItemNotFound) as unknown:
        change(editor, remove="a.png x.png y.png")
    assert unknown.value.data["items"] == 2
    with pytest.raises(DatasetChanged):
        change(editor, remove="a.png", expected_version=2)


@pytest.mark.slow
def test_thousands_of_items_are_edited_together(shelf: Shelf):
    shelf.make()
    one = shelf.item("x.png")
    items = [type(one)(f"{number:05}.png", one.sha256, 1) for number in range(12_000)]
    shelf.version(*items)
    ids = frozenset(item.item_id for item in items[:10_000])
    edit = ItemEditor(shelf.service).edit("cats", ItemChanges(exclude=ids), "ann", dry_run=False)
    assert (edit.excluded, edit.trained) == (10_000, 2_000)
