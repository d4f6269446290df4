"""Edits of the items of registered directories, whose files do not change."""

from pathlib import Path
from typing import Any

import pytest

from api.datasets.item_edits import ItemChanges, ItemEditor
from api.datasets.materials import DatasetDirectories
from api.datasets.registered.directories import RegisteredDirectories
from api.domain.datasets.dataset import ItemFilter, PinnedDataset, WatchState, item_id_of
from api.errors import DatasetIsRegistered
from api.util.http.pagination import PageRequest
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.registered.test_directories import (
    items,
    look,
    media,
    refresh,
    register,
    registered,
    watch,
)

__all__ = ["media", "registered"]


def edit(shelf: Shelf, **paths: str) -> Any:
    sets = {name: frozenset([item_id_of(path)]) for name, path in paths.items()}
    return ItemEditor(shelf.service).edit("media", ItemChanges(**sets), "ann", dry_run=False)


def excluded(shelf: Shelf) -> list[str]:
    page = shelf.items.get_page("media", None, ItemFilter(excluded=True), PageRequest())
    return [item.name for item in page.rows]


def test_items_are_removed_and_excluded_while_the_files_stay(
    shelf: Shelf, registered: RegisteredDirectories, media: Path
):
    before = sorted(media.rglob("*"))
    register(registered, media)
    edit(shelf, remove="b.jpg", exclude="a.png")
    assert (set(items(shelf)), excluded(shelf)) == ({"a.png", "sub/c.png"}, ["a.png"])
    assert sorted(media.rglob("*")) == before
    look(registered)
    assert watch(shelf).state is WatchState.SAME


def test_removed_and_excluded_items_stay_so_after_a_refresh(
    shelf: Shelf, registered: RegisteredDirectories, media: Path
):
    register(registered, media)
    edit(shelf, remove="b.jpg", exclude="a.png")
    (media / "a.png").write_text("another A")
    (media / "b.jpg").write_text("another B")
    (media / "new.png").write_text("N")
    for _ in range(2):
        refresh(registered)
        assert (set(items(shelf)), excluded(shelf)) == ({"a.png", "new.png", "sub/c.png"}, ["a.png"])
    (media / "b.jpg").unlink()
    refresh(registered)
    (media / "b.jpg").write_text("put there again")
    refresh(registered)
    assert "b.jpg" in items(shelf)


def test_edit_can_be_undone_until_the_directory_is_read_again(
    shelf: Shelf, registered: RegisteredDirectories, media: Path
):
    register(registered, media)
    edit(shelf, remove="b.jpg")
    shelf.service.restore("media", "1", "ann")
    assert set(items(shelf)) == {"a.png", "b.jpg", "sub/c.png"}
    (media / "new.png").write_text("N")
    refresh(registered)
    assert "b.jpg" in items(shelf)
    with pytest.raises(DatasetIsRegistered, match="read again"):
        shelf.service.restore("media", "1", "ann")


def test_edit_during_a_reading_is_kept(
    shelf: Shelf, registered: RegisteredDirectories, media: Path, monkeypatch: pytest.MonkeyPatch
):
    register(registered, media)
    (media / "new.png").write_text("N")
    real, edits = shelf.service.add_version, ["a.png", "b.jpg"]

    def late(*args: Any, **more: Any) -> Any:
        if "read from" in args[3] and edits:
            edit(shelf, exclude=edits.pop())
        return real(*args, **more)

    monkeypatch.setattr(shelf.service, "add_version", late)
    refresh(registered)
    assert (excluded(shelf), "new.png" in items(shelf)) == (["a.png", "b.jpg"], True)


def test_damaged_or_missing_excluded_file_does_not_prevent_training(
    shelf: Shelf, registered: RegisteredDirectories, media: Path
):
    register(registered, media)
    made = edit(shelf, exclude="a.png").version
    (media / "a.png").unlink()
    materials = DatasetDirectories(shelf.service, shelf.store, shelf.blobs, registered.locator)
    pin = PinnedDataset("media", made.version, made.manifest, 2, shelf.store.get("media").serial)
    assert {path.name for path in materials.view(pin).media.iterdir()} == {"b.jpg", "sub__c.png", "captions.json"}


def test_directory_with_only_removed_files_makes_no_empty_version(
    shelf: Shelf, registered: RegisteredDirectories, media: Path
):
    register(registered, media)
    edit(shelf, remove="b.jpg")
    (media / "a.png").unlink()
    (media / "sub" / "c.png").unlink()
    refresh(registered)
    assert (shelf.store.get("media").latest, watch(shelf).state) == (2, WatchState.GONE)
    assert "were removed from the dataset" in watch(shelf).problem
