from pathlib import Path

import pytest

from api.datasets.items.media import DatasetMedia
from api.datasets.items.thumbnails import Thumbnails
from api.datasets.records.media_facts import MediaFactsStore
from api.db.database import Database
from api.domain.datasets.dataset import item_id_of
from api.errors import NoPicture
from api.files.thumbnail_files import ThumbnailStore
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.media_fakes import FakeDecoder


@pytest.fixture
def decoder() -> FakeDecoder:
    return FakeDecoder()


@pytest.fixture
def thumbnails(shelf: Shelf, sqlite: Database, decoder: FakeDecoder, tmp_path: Path) -> Thumbnails:
    media = DatasetMedia(MediaFactsStore(sqlite), shelf.blobs, decoder, shelf.clock)
    shelf.make()
    shelf.version(shelf.item("a.png", b"same"), shelf.item("b.png", b"same"))
    return Thumbnails(shelf.items, media, decoder, ThumbnailStore(tmp_path / "thumbnails"))


def draw(thumbnails: Thumbnails, path: str, size: int = 200) -> bytes:
    return thumbnails.draw(*thumbnails.find("cats", item_id_of(path), None), size)


def test_thumbnail_is_made_once_for_the_same_bytes(thumbnails: Thumbnails, decoder: FakeDecoder):
    assert {draw(thumbnails, path) for path in ("a.png", "b.png", "a.png")} == {b"picture"}
    assert [what for what, _ in decoder.requests] == ["thumbnail 256"]


def test_undrawable_file_is_tried_once(thumbnails: Thumbnails, decoder: FakeDecoder):
    decoder.drawn = None
    for _ in range(2):
        with pytest.raises(NoPicture):
            draw(thumbnails, "a.png")
    assert len(decoder.requests) == 1


def test_full_disk_only_prevents_storing(thumbnails: Thumbnails, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ThumbnailStore, "put", fail)
    assert draw(thumbnails, "a.png") == b"picture"
