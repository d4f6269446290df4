from dataclasses import replace

import pytest

from api.errors import DecoderBusy
from api.services.datasets.media import DatasetMedia
from api.storage.database import Database
from api.storage.media_facts import MediaFactsStore
from tests.unit.services.datasets.conftest import Shelf
from tests.unit.services.datasets.media_fakes import PICTURE, FakeDecoder


@pytest.fixture
def decoder() -> FakeDecoder:
    return FakeDecoder()


@pytest.fixture
def media(shelf: Shelf, database: Database, decoder: FakeDecoder) -> DatasetMedia:
    return DatasetMedia(MediaFactsStore(database), shelf.blobs, decoder, shelf.clock, shelf.clock.monotonic)


def test_the_same_bytes_are_looked_into_once(shelf: Shelf, media: DatasetMedia, decoder: FakeDecoder):
    files = {sha256: shelf.blobs.path(sha256) for sha256 in (shelf.blob(b"1"), shelf.blob(b"2"))}
    assert media.look(files, 9) == dict.fromkeys(files, PICTURE)
    assert media.look(files, 9) == dict.fromkeys(files, PICTURE)
    assert sorted(decoder.examined) == sorted(files.values())


def test_what_is_not_reached_in_time_is_left_out_and_reached_next(
    shelf: Shelf, media: DatasetMedia, decoder: FakeDecoder
):
    files = {sha256: shelf.blobs.path(sha256) for sha256 in (shelf.blob(bytes([i])) for i in range(10))}
    decoder.before = lambda: shelf.clock.advance(1)
    decoder.children = 1
    first = media.look(files, 4)
    assert len(first) == 4
    assert len(media.look(files, 4)) == 8


def test_a_second_caller_gets_what_is_known_meanwhile(shelf: Shelf, media: DatasetMedia, decoder: FakeDecoder):
    sha256 = shelf.blob(b"1")
    with media._looking:
        assert media.look({sha256: shelf.blobs.path(sha256)}, 9) == {}
    assert decoder.examined == []


def test_files_whose_turn_does_not_come_are_left_out(shelf: Shelf, media: DatasetMedia, decoder: FakeDecoder):
    def refuse() -> None:
        raise DecoderBusy

    decoder.before = refuse
    sha256 = shelf.blob(b"1")
    assert media.look({sha256: shelf.blobs.path(sha256)}, 9) == {}


def test_one_file_is_looked_into_at_once(shelf: Shelf, media: DatasetMedia, decoder: FakeDecoder):
    turned = replace(PICTURE, rotation=90)
    decoder.found = {b"turned": turned}
    sha256 = shelf.blob(b"turned")
    assert media.known(sha256) is None
    assert media.require(sha256, shelf.blobs.path(sha256)) == turned
    assert media.require(sha256, shelf.blobs.path(sha256)) == turned
    assert (media.known(sha256), len(decoder.examined)) == (turned, 1)


def test_files_of_a_registered_directory_lie_in_it(shelf: Shelf, media: DatasetMedia):
    item = shelf.item("below/a.png")
    assert media.path_of(shelf.make("own"), item) == shelf.blobs.path(item.sha256)
    registered = replace(shelf.store.get("own"), directory="/data/cats")
    assert str(media.path_of(registered, item)) == "/data/cats/below/a.png"
