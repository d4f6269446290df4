from pathlib import Path

import pytest

from api.datasets.items.media import DatasetMedia
from api.datasets.items.path_media import PathMedia
from api.datasets.materials import DatasetDirectories
from api.datasets.records.media_facts import MediaFactsStore
from api.db.database import Database
from api.domain.datasets.dataset import PinnedDataset
from api.domain.datasets.media import MediaSource
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.media_fakes import PICTURE, FakeDecoder


@pytest.fixture
def decoder() -> FakeDecoder:
    return FakeDecoder()


@pytest.fixture
def by_path(shelf: Shelf, sqlite: Database, decoder: FakeDecoder) -> PathMedia:
    media = DatasetMedia(MediaFactsStore(sqlite), shelf.blobs, decoder, shelf.clock)
    materials = DatasetDirectories(shelf.service, shelf.store, shelf.blobs)
    return PathMedia(materials.views, shelf.service, media, decoder)


def test_stored_file_is_examined_once_for_all_views(shelf: Shelf, by_path: PathMedia, decoder: FakeDecoder):
    shelf.make()
    materials = DatasetDirectories(shelf.service, shelf.store, shelf.blobs)
    for caption in ("one", "two"):
        made = shelf.version(shelf.item("a/b.png", b"A", caption, mask_sha256=shelf.blob(b"mask")))
        serial = shelf.store.get("cats").serial
        layout = materials.view(PinnedDataset("cats", made.ordinal, f"sha256:{made.manifest_sha256}", 1, serial))
        assert layout.masks is not None
        for path in (layout.media / "a__b.png", layout.masks / "a__b.png"):
            assert by_path.examine(MediaSource(path)) == PICTURE
    assert len(decoder.examined) == 2


def test_file_elsewhere_is_examined_at_the_target_of_its_link(tmp_path: Path, by_path: PathMedia, decoder: FakeDecoder):
    (tmp_path / "a.png").write_bytes(b"A")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    assert by_path.examine(MediaSource(tmp_path / "link.png")) == PICTURE
    assert decoder.examined == [tmp_path / "a.png"]


def test_name_of_an_excluded_item_is_not_given_to_another(shelf: Shelf, by_path: PathMedia):
    shelf.make()
    made = shelf.version(shelf.item("a/b.png", b"gone", excluded=True), shelf.item("a__b.png", b"here"))
    materials, serial = DatasetDirectories(shelf.service, shelf.store, shelf.blobs), shelf.store.get("cats").serial
    layout = materials.view(PinnedDataset("cats", 1, f"sha256:{made.manifest_sha256}", 1, serial))
    assert by_path.examine(MediaSource(layout.media / "a__b.png")) == PICTURE
