"""The directories of a rehearsal: links to two items with their captions, masks and control images."""

import json
from pathlib import Path

import pytest

from api.domain.tasks.rehearsal import PlannedRehearsal, RehearsedItem
from api.domain.tasks.training import TrainingRequest
from api.trainers.trainer import ItemFolders, Rehearsal
from api.training.attempts.preparation import lay_out

PLANNED = PlannedRehearsal((RehearsedItem(0, "a.png"), RehearsedItem(0, "b.png")))


@pytest.fixture
def source(tmp_path: Path) -> ItemFolders:
    folders = ItemFolders(tmp_path / "media", tmp_path / "masks", None)
    for folder in (folders.media, tmp_path / "masks"):
        folder.mkdir()
        for name in ("a.png", "b.png", "c.png"):
            (folder / name).write_text(f"{folder.name} {name}")
    return folders


def make(source: ItemFolders, directory: Path, group: int | None = None) -> None:
    rehearsal = Rehearsal(TrainingRequest("flux"), (source, source))
    lay_out(rehearsal, PLANNED, directory, group)


def files_in(directory: Path) -> dict[str, str]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_text() for path in found}


def test_items_have_their_captions_and_masks(source: ItemFolders, tmp_path: Path):
    (source.media / "a.txt").write_text("a cat")
    own = tmp_path / "task" / "datasets"
    make(source, own)
    assert files_in(own) == {
        "0/media/a.png": "media a.png",
        "0/media/a.txt": "a cat",
        "0/masks/a.png": "masks a.png",
        "1/media/b.png": "media b.png",
        "1/masks/b.png": "masks b.png",
    }


def test_only_their_entries_of_a_captions_file_are_copied(source: ItemFolders, tmp_path: Path):
    (source.media / "captions.json").write_text(json.dumps({"a.png": ["one", "two"], "c.png": ["three"]}))
    own = tmp_path / "task" / "datasets"
    make(source, own)
    assert json.loads((own / "0" / "media" / "captions.json").read_text()) == {"a.png": ["one", "two"]}
    assert json.loads((own / "1" / "media" / "captions.json").read_text()) == {}


def test_earlier_directories_are_replaced_without_touching_the_dataset(source: ItemFolders, tmp_path: Path):
    own = tmp_path / "task" / "datasets"
    make(source, own)
    (own / "0" / "media" / "cache").mkdir()
    make(source, own)
    assert not (own / "0" / "media" / "cache").exists()
    assert sorted(path.name for path in source.media.iterdir()) == ["a.png", "b.png", "c.png"]


def test_deleted_item_is_an_error(source: ItemFolders, tmp_path: Path):
    (source.media / "b.png").unlink()
    with pytest.raises(FileNotFoundError):
        make(source, tmp_path / "task" / "datasets")


def test_trainers_user_gets_files_instead_of_links(source: ItemFolders, tmp_path: Path):
    own = tmp_path / "task" / "datasets"
    make(source, own, group=own.parent.parent.stat().st_gid)
    item = own / "0" / "media" / "a.png"
    assert (item.is_symlink(), item.read_text()) == (False, "media a.png")
    assert (own / "0" / "media").stat().st_mode & 0o777 == 0o770
