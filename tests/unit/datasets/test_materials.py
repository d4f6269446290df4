import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.datasets import materials as module
from api.datasets.materials import DatasetDirectories, flat_names
from api.domain.datasets.dataset import ManifestItem, PinnedDataset
from api.errors import BlobMissing
from tests.unit.datasets.conftest import Shelf


@pytest.fixture
def materials(shelf: Shelf) -> DatasetDirectories:
    return DatasetDirectories(shelf.service, shelf.store, shelf.blobs)


@pytest.fixture
def pin(shelf: Shelf) -> PinnedDataset:
    shelf.make()
    mask, control = shelf.blob(b"mask"), shelf.blob(b"control")
    made = shelf.version(
        shelf.item("a.jpg", b"A", "one", mask_sha256=mask), shelf.item("b/a.png", b"B", None, control_sha256=control)
    )
    return PinnedDataset("cats", 1, f"sha256:{made.manifest_sha256}", 2, shelf.store.get("cats").serial)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_version_is_laid_out_with_captions_masks_and_controls(
    tmp_path: Path, materials: DatasetDirectories, pin: PinnedDataset
):
    layout = materials.lay_out(tmp_path / "task" / "datasets", pin, is_new=True)
    assert files(layout.media.parent) == {
        "media/a.jpg": b"A",
        "media/b__a.png": b"B",
        "media/captions.json": b'{"a.jpg":["one"]}',
        "masks/a.png": b"mask",
        "controls/b__a.png": b"control",
    }
    assert (layout.masks, layout.controls) == (layout.media.parent / "masks", layout.media.parent / "controls")


def test_files_are_read_only_hard_links(
    tmp_path: Path, shelf: Shelf, materials: DatasetDirectories, pin: PinnedDataset
):
    layout = materials.lay_out(tmp_path / "task" / "datasets", pin, is_new=True)
    there, stored = (layout.media / "a.jpg").stat(), shelf.blobs.path(shelf.blob(b"A")).stat()
    assert there.st_ino == stored.st_ino
    assert stat.S_IMODE(there.st_mode) == 0o444


def test_view_is_made_once_and_predicts_the_layout_of_a_task(
    tmp_path: Path, materials: DatasetDirectories, pin: PinnedDataset
):
    view = materials.view(pin)
    inode = view.media.stat().st_ino
    assert materials.view(pin).media.stat().st_ino == inode
    above = tmp_path / "task" / "datasets"
    layout = materials.layout_for(above, pin, view)
    assert layout == materials.lay_out(above, pin, is_new=True) == materials.lay_out(above, pin, is_new=False)
    assert dict(view.moved_to(layout))[str(view.media)] == str(layout.media)


@pytest.mark.parametrize("what", ["link", "file"])
def test_cache_that_is_not_a_directory_is_not_moved(
    tmp_path: Path, materials: DatasetDirectories, pin: PinnedDataset, what: str
):
    above, secret = tmp_path / "task" / "datasets", tmp_path / "secret"
    secret.mkdir()
    layout = materials.lay_out(above, pin, is_new=True)
    cache = layout.media / "cache"
    if what == "link":
        cache.symlink_to(secret)
    else:
        cache.write_text("x")
    assert not (materials.lay_out(above, pin, is_new=True).media / "cache").exists()
    assert secret.is_dir()


def test_leftovers_of_a_killed_attempt_are_removed(tmp_path: Path, materials: DatasetDirectories, pin: PinnedDataset):
    above = tmp_path / "task" / "datasets"
    (above / ".cats.new.123" / "media").mkdir(parents=True)
    materials.lay_out(above, pin, is_new=True)
    assert [path.name for path in above.iterdir()] == [f"cats-{pin.manifest_sha256[:16]}"]


def test_full_disk_leaves_the_old_directory(
    tmp_path: Path, materials: DatasetDirectories, pin: PinnedDataset, monkeypatch: pytest.MonkeyPatch
):
    above = tmp_path / "task" / "datasets"
    layout = materials.lay_out(above, pin, is_new=True)
    with monkeypatch.context() as patched:
        patched.setattr(module, "_write_captions", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError, match="No space"):
            materials.lay_out(above, pin, is_new=True)
    assert (layout.media / "a.jpg").read_bytes() == b"A"


def test_missing_file_is_reported(tmp_path: Path, shelf: Shelf, materials: DatasetDirectories, pin: PinnedDataset):
    shelf.blobs.path(shelf.blob(b"A")).unlink()
    with pytest.raises(BlobMissing):
        materials.lay_out(tmp_path / "task" / "datasets", pin, is_new=True)
    with pytest.raises(BlobMissing):
        materials.view(pin)
    assert os.listdir(materials.views) == []


def test_many_captions_become_text_files(
    tmp_path: Path, materials: DatasetDirectories, pin: PinnedDataset, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_MOST_JSON_BYTES", 3)
    layout = materials.lay_out(tmp_path / "task" / "datasets", pin, is_new=True)
    assert sorted(os.listdir(layout.media)) == ["a.jpg", "a.txt", "b__a.png"]
    assert (layout.media / "a.txt").read_text() == "one"


def test_trainer_user_can_enter_read_and_write_its_cache(tmp_path: Path, shelf: Shelf, pin: PinnedDataset):
    materials = DatasetDirectories(shelf.service, shelf.store, shelf.blobs, trainers_group=os.getgid())
    layout = materials.lay_out(tmp_path / "task" / "datasets", pin, is_new=True)
    modes = [
        stat.S_IMODE(path.stat().st_mode) for path in (layout.media.parent.parent, layout.media.parent, layout.media)
    ]
    assert [oct(mode) for mode in modes] == ["0o2750", "0o2750", "0o2770"]
    assert stat.S_IMODE((layout.media / "captions.json").stat().st_mode) == 0o640


def items(*paths: str) -> Iterator[ManifestItem]:
    return (ManifestItem(path, "0" * 64, 1) for path in paths)


def test_names_are_flat_with_unique_stems():
    paths = ["a.png", "a.jpg", "A.webp", "x/a.png", "x__a.png", ".hidden.png", "ä" * 300 + ".png", "no_suffix"]
    paths += ["cache", "captions.json", "a." + "x" * 300, "b/" + "y" * 240 + ".jpeg"]
    names = flat_names(list(items(*paths)))
    stems = [Path(name).stem.casefold() for name in names.values()]
    assert len(set(stems)) == len(paths)
    assert names["a.png"] == "a.png"
    assert names["x/a.png"] == "x__a.png"
    assert all("/" not in name and not name.startswith(".") and len(name.encode()) < 255 for name in names.values())


def test_names_are_deterministic():
    some = list(items("a.png", "a.jpg", "b/a.png"))
    assert json.dumps(flat_names(some)) == json.dumps(flat_names(some))


def test_excluded_items_are_not_laid_out(tmp_path: Path, shelf: Shelf, materials: DatasetDirectories):
    shelf.make()
    excluded = shelf.item("a.png", b"A", excluded=True, mask_sha256=shelf.blob(b"mask"))
    made = shelf.version(excluded, shelf.item("b.png", b"B", "two"))
    shelf.blobs.path(excluded.sha256).unlink()  # its file is not needed
    pin = PinnedDataset("cats", 1, f"sha256:{made.manifest_sha256}", 1, shelf.store.get("cats").serial)
    for layout in (materials.view(pin), materials.lay_out(tmp_path / "task" / "datasets", pin, is_new=True)):
        assert files(layout.media.parent) == {"media/b.png": b"B", "media/captions.json": b'{"b.png":["two"]}'}
        assert layout.masks is None
