from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from api.datasets.items.joining import Joined
from api.datasets.items.tree import TreeFile, sort_files
from api.datasets.records.dataset_store import DatasetFilter
from api.errors import DatasetIsRegistered, NotYours
from api.files.archives.limits import BadArchive
from api.util.http.pagination import PageRequest
from tests.unit.datasets.conftest import ANN, Shelf
from tests.unit.datasets.upload_parts import Dock


@pytest.fixture
def dock(shelf: Shelf) -> Dock:
    return Dock(shelf)


def join(dock: Dock, files: dict[str, bytes], **changes: object) -> Joined:
    upload = replace(dock.upload(b"PNG", filename="mine.zip"), **changes)  # type: ignore[arg-type]
    place = dock.files.new_unpacked(upload.upload_id)
    place.mkdir()
    for number, content in enumerate(files.values()):
        (place / str(number)).write_bytes(content)
    listed = [TreeFile(path, Path(place / str(n)), len(content)) for n, (path, content) in enumerate(files.items())]
    return dock.joining.join(sort_files(listed), upload, lambda done, total: None)


def test_files_become_a_version_with_their_origin(dock: Dock):
    joined = join(dock, {"3_cat/x.png": b"PNG", "3_cat/x.txt": b"tom", "y.md": b"words"})
    assert (joined.version, joined.added, joined.left_out) == (1, ("3_cat/x.png",), ("y.md",))
    version = dock.shelf.service.find_version(dock.shelf.store.get("cats"))
    assert (version.message, version.actor) == ("1 added by upload of mine.zip", "api")
    assert version.origin is not None
    assert version.origin["num_repeats"] == {"3_cat": 3}


def test_masks_and_controls_are_stored_with_their_items(dock: Dock):
    join(dock, {"x.png": b"PNG1", "masks/x.png": b"PNG2", "control/x.jpg": b"PNG3", "masks/y.png": b"words"})
    version = dock.shelf.service.find_version(dock.shelf.store.get("cats"))
    (item,) = dock.shelf.service.read_items(version.manifest_sha256)
    assert [dock.shelf.blobs.path(sha256).read_bytes() for sha256 in item.blobs] == [b"PNG1", b"PNG2", b"PNG3"]


def test_unmatched_masks_and_controls_are_reported_as_left_out(dock: Dock):
    joined = join(dock, {"x.png": b"PNG1", "masks/y.png": b"PNG2", "control/z.png": b"PNG3"})
    assert joined.left_out == ("masks/y.png", "control/z.png")
    assert join(dock, {"x.png": b"PNG4", "masks/x.png": b"PNG2"}).left_out == ()


def test_undecodable_file_with_a_media_suffix_is_an_item(dock: Dock):
    assert join(dock, {"x.jpg": b"damaged", "y.dat": b"words"}).added == ("x.jpg",)


@pytest.mark.parametrize("name", ["y.npz", "y.json", "y.parquet", "y.tar"])
def test_picture_with_a_name_that_trainers_ignore_is_left_out(dock: Dock, name: str):
    joined = join(dock, {"x.png": b"PNG1", name: b"PNG2"})
    assert (joined.added, joined.left_out) == (("x.png",), (name,))


@pytest.mark.parametrize("files", [{}, {"x.txt": b"tom"}, {"x.md": b"words"}])
def test_files_without_media_make_no_dataset(dock: Dock, files: dict[str, bytes]):
    with pytest.raises(BadArchive):
        join(dock, files)
    assert dock.shelf.store.page(DatasetFilter(), PageRequest(10)).pagination.total == 0


def test_dataset_created_by_another_user_meanwhile_is_not_changed(dock: Dock):
    dock.shelf.clock.advance(10)
    dock.shelf.make("cats", ANN)
    with pytest.raises(NotYours):
        join(dock, {"x.png": b"PNG"}, created_at=dock.shelf.clock.now() - timedelta(seconds=1), owner="bob")


def test_registered_directory_accepts_no_files(dock: Dock):
    dock.upload(b"PNG")
    upload = dock.upload(b"PNG", filename="x.png")
    dock.shelf.make("cats", directory="/somewhere")
    with pytest.raises(DatasetIsRegistered):
        dock.joining.join(
            sort_files([TreeFile("x.png", dock.files.path(upload.upload_id), 3)]), upload, lambda a, b: None
        )


def test_file_of_an_upload_stays_until_its_version_is_made(dock: Dock):
    upload = dock.upload(b"PNG", filename="x.png")
    path = dock.files.path(upload.upload_id)
    dock.joining.join(sort_files([TreeFile("x.png", path, 3)]), upload, lambda done, total: None)
    assert path.read_bytes() == b"PNG"
    assert [each.name for each in path.parent.iterdir()] == [upload.upload_id]
