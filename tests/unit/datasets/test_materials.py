import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.datasets import materials as module
from api.datasets.materials import DatasetMaterials, flat_names
from api.domain.dataset import ManifestItem, PinnedDataset
from api.errors import BlobMissing
from tests.unit.datasets.conftest import Shelf


@pytest.fixture
def materials(shelf: Shelf) -> DatasetMaterials:
    return DatasetMaterials(shelf.service, shelf.store, shelf.blobs)


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


def test_a_version_lies_there_with_captions_masks_and_controls(
    tmp_path: Path, materials: DatasetMaterials, pin: PinnedDataset
):
    laid = materials.lay(tmp_path / "task" / "datasets", pin, is_new=True)
    assert files(laid.media.parent) == {
        "media/a.jpg": b"A",
        "media/b__a.png": b"B",
        "media/captions.json": b'{"a.jpg":["one"]}',
        "masks/a.png": b"mask",
        "controls/b__a.png": b"control",
    }
    assert (laid.masks, laid.controls) == (laid.media.parent / "masks", laid.media.parent / "controls")


def test_its_files_take_no_room_of_their_own_and_cannot_be_written_to(
    tmp_path: Path, shelf: Shelf, materials: DatasetMaterials, pin: PinnedDataset
):
    laid = materials.lay(tmp_path / "task" / "datasets", pin, is_new=True)
    there, stored = (laid.media / "a.jpg").stat(), shelf.blobs.path(shelf.blob(b"A")).stat()
    assert there.st_ino == stored.st_ino
    assert stat.S_IMODE(there.st_mode) == 0o444


def test_a_view_is_made_once_and_is_where_a_task_will_have_it(
    tmp_path: Path, materials: DatasetMaterials, pin: PinnedDataset
):
    view = materials.view(pin)
    inode = view.media.stat().st_ino
    assert materials.view(pin).media.stat().st_ino == inode
    above = tmp_path / "task" / "datasets"
    home = materials.home(above, pin, view)
    assert home == materials.lay(above, pin, is_new=True) == materials.lay(above, pin, is_new=False)
    assert dict(view.moved_to(home))[str(view.media)] == str(home.media)


@pytest.mark.parametrize("what", ["link", "file"])
def test_a_cache_that_is_no_directory_is_not_taken_over(
    tmp_path: Path, materials: DatasetMaterials, pin: PinnedDataset, what: str
):
    above, secret = tmp_path / "task" / "datasets", tmp_path / "secret"
    secret.mkdir()
    laid = materials.lay(above, pin, is_new=True)
    cache = laid.media / "cache"
    if what == "link":
        cache.symlink_to(secret)
    else:
        cache.write_text("x")
    assert not (materials.lay(above, pin, is_new=True).media / "cache").exists()
    assert secret.is_dir()


def test_what_a_killed_attempt_left_is_removed(tmp_path: Path, materials: DatasetMaterials, pin: PinnedDataset):
    above = tmp_path / "task" / "datasets"
    (above / ".cats.new.123" / "media").mkdir(parents=True)
    materials.lay(above, pin, is_new=True)
    assert [path.name for path in above.iterdir()] == [f"cats-{pin.manifest_sha256[:16]}"]


def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, materials: DatasetMaterials, pin: PinnedDataset, monkeypatch: pytest.MonkeyPatch
):
    above = tmp_path / "task" / "datasets"
    laid = materials.lay(above, pin, is_new=True)
    with monkeypatch.context() as patched:
        patched.setattr(module, "_write_captions", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError, match="No space"):
            materials.lay(above, pin, is_new=True)
    assert (laid.media / "a.jpg").read_bytes() == b"A"


def test_a_missing_file_is_named(tmp_path: Path, shelf: Shelf, materials: DatasetMaterials, pin: PinnedDataset):
    shelf.blobs.path(shelf.blob(b"A")).unlink()
    with pytest.raises(BlobMissing):
        materials.lay(tmp_path / "task" / "datasets", pin, is_new=True)
    with pytest.raises(BlobMissing):
        materials.view(pin)
    assert os.listdir(materials.views) == []


def test_too_many_captions_for_one_file_become_texts(
    tmp_path: Path, materials: DatasetMaterials, pin: PinnedDataset, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_MOST_JSON_BYTES", 3)
    laid = materials.lay(tmp_path / "task" / "datasets", pin, is_new=True)
    assert sorted(os.listdir(laid.media)) == ["a.jpg", "a.txt", "b__a.png"]
    assert (laid.media / "a.txt").read_text() == "one"


def test_the_trainers_user_may_enter_write_its_cache_and_read(tmp_path: Path, shelf: Shelf, pin: PinnedDataset):
    materials = DatasetMaterials(shelf.service, shelf.store, shelf.blobs, trainers_group=os.getgid())
    laid = materials.lay(tmp_path / "task" / "datasets", pin, is_new=True)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (laid.media.parent.parent, laid.media.parent, laid.media)]
    assert [oct(mode) for mode in modes] == ["0o2750", "0o2750", "0o2770"]
    assert stat.S_IMODE((laid.media / "captions.json").stat().st_mode) == 0o640


def items(*paths: str) -> Iterator[ManifestItem]:
    return (ManifestItem(path, "0" * 64, 1) for path in paths)


def test_names_are_flat_and_no_two_share_a_stem():
    paths = ["a.png", "a.jpg", "A.webp", "x/a.png", "x__a.png", ".hidden.png", "ä" * 300 + ".png", "no_suffix"]
    paths += ["cache", "captions.json", "a." + "x" * 300, "b/" + "y" * 240 + ".jpeg"]
    names = flat_names(list(items(*paths)))
    stems = [Path(name).stem.casefold() for name in names.values()]
    assert len(set(stems)) == len(paths)
    assert names["a.png"] == "a.png"
    assert names["x/a.png"] == "x__a.png"
    assert all("/" not in name and not name.startswith(".") and len(name.encode()) < 255 for name in names.values())


def test_names_are_the_same_each_time():
    some = list(items("a.png", "a.jpg", "b/a.png"))
    assert json.dumps(flat_names(some)) == json.dumps(flat_names(some))


def test_excluded_items_are_not_laid_out(tmp_path: Path, shelf: Shelf, materials: DatasetMaterials):
    shelf.make()
    gone = shelf.item("a.png", b"A", excluded=True, mask_sha256=shelf.blob(b"mask"))
    made = shelf.version(gone, shelf.item("b.png", b"B", "two"))
    shelf.blobs.path(gone.sha256).unlink()  # nothing asks for its file
    pin = PinnedDataset("cats", 1, f"sha256:{made.manifest_sha256}", 1, shelf.store.get("cats").serial)
    for laid in (materials.view(pin), materials.lay(tmp_path / "task" / "datasets", pin, is_new=True)):
        assert files(laid.media.parent) == {"media/b.png": b"B", "media/captions.json": b'{"b.png":["two"]}'}
        assert laid.masks is None
