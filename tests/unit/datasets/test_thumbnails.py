from pathlib import Path

import pytest

from api.datasets.media import DatasetMedia
from api.datasets.media_facts import MediaFactsStore
from api.datasets.thumbnails import Thumbnails
from api.db.database import Database
from api.domain.dataset import item_id_of
from api.errors import NoPicture
from api.files.thumbnails import ThumbnailStore
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.media_fakes import FakeDecoder


@pytest.fixture
def decoder() -> FakeDecoder:
    return FakeDecoder()


@pytest.fixture
def thumbnails(shelf: Shelf, database: Database, decoder: FakeDecoder, tmp_path: Path) -> Thumbnails:
    media = DatasetMedia(MediaFactsStore(database), shelf.blobs, decoder, shelf.clock)
    shelf.make()
    shelf.version(shelf.item("a.png", b"same"), shelf.item("b.png", b"same"))
    return Thumbnails(shelf.items, media, decoder, ThumbnailStore(tmp_path / "thumbnails"))


def draw(thumbnails: Thumbnails, path: str, size: int = 200) -> bytes:
    return thumbnails.draw(*thumbnails.find("cats", item_id_of(path), None), size)


def test_a_thumbnail_is_made_once_for_the_same_bytes(thumbnails: Thumbnails, decoder: FakeDecoder):
    assert {draw(thumbnails, path) for path in ("a.png", "b.png", "a.png")} == {b"picture"}
    assert [what for what, _ in decoder.asked] == ["thumbnail 256"]


def test_what_cannot_be_drawn_is_tried_once(thumbnails: Thumbnails, decoder: FakeDecoder):
    decoder.drawn = None
    for _ in range(2):
        with pytest.raises(NoPicture):
            draw(thumbnails, "a.png")
    assert len(decoder.asked) == 1


def test_a_full_disk_costs_only_the_memory_of_it(thumbnails: Thumbnails, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ThumbnailStore, "put", refuse)
    assert draw(thumbnails, "a.png") == b"picture"
