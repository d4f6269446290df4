from dataclasses import replace
from pathlib import Path

import pytest

from api.datasets.items.media import DatasetMedia
from api.datasets.records.media_facts import MediaFactsStore
from api.db.database import Database
from api.domain.datasets.media import MediaSource
from api.errors import DecoderBusy
from api.util.http.caller import has_caller_left
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.media_fakes import PICTURE, FakeDecoder, FakeDirectory


@pytest.fixture
def decoder() -> FakeDecoder:
    return FakeDecoder()


@pytest.fixture
def media(shelf: Shelf, sqlite: Database, decoder: FakeDecoder) -> DatasetMedia:
    return DatasetMedia(MediaFactsStore(sqlite), shelf.blobs, decoder, shelf.clock)


def test_same_bytes_are_examined_once(shelf: Shelf, media: DatasetMedia, decoder: FakeDecoder):
    files = {sha256: MediaSource(shelf.blobs.path(sha256)) for sha256 in (shelf.blob(b"1"), shelf.blob(b"2"))}
    assert media.examine_all(files, 9) == dict.fromkeys(files, PICTURE)
    assert media.examine_all(files, 9) == dict.fromkeys(files, PICTURE)
    assert sorted(decoder.examined) == sorted(each.path for each in files.values())


def test_files_not_examined_in_time_are_examined_by_the_next_call(
    shelf: Shelf, media: DatasetMedia, decoder: FakeDecoder
):
    files = {sha256: MediaSource(shelf.blobs.path(sha256)) for sha256 in (shelf.blob(bytes([i])) for i in range(10))}
    decoder.before = lambda: shelf.clock.advance(1)
    decoder.children = 1
    first = media.examine_all(files, 4)
    assert len(first) == 4
    assert len(media.examine_all(files, 4)) == 8


def test_concurrent_caller_gets_the_known_facts(shelf: Shelf, media: DatasetMedia, decoder: FakeDecoder):
    first, second = ({sha: MediaSource(shelf.blobs.path(sha))} for sha in (shelf.blob(b"1"), shelf.blob(b"2")))
    meanwhile: list[object] = []
    decoder.before = lambda: meanwhile.append(media.examine_all(second, 9))
    assert len(media.examine_all(first, 9)) == 1
    assert (meanwhile, len(decoder.examined)) == ([{}], 1)


def test_files_are_omitted_while_the_decoder_is_busy(shelf: Shelf, media: DatasetMedia, decoder: FakeDecoder):
    def fail() -> None:
        raise DecoderBusy

    decoder.before = fail
    sha256 = shelf.blob(b"1")
    assert media.examine_all({sha256: MediaSource(shelf.blobs.path(sha256))}, 9) == {}


def test_required_file_is_examined_immediately(shelf: Shelf, media: DatasetMedia, decoder: FakeDecoder):
    turned = replace(PICTURE, rotation=90)
    decoder.found = {b"turned": turned}
    sha256 = shelf.blob(b"turned")
    assert media.known(sha256) is None
    assert media.require(sha256, MediaSource(shelf.blobs.path(sha256))) == turned
    assert media.require(sha256, MediaSource(shelf.blobs.path(sha256))) == turned
    assert (media.known(sha256), len(decoder.examined)) == (turned, 1)


def test_files_of_a_registered_directory_are_examined_there(
    shelf: Shelf, sqlite: Database, decoder: FakeDecoder, tmp_path: Path
):
    item, gone = shelf.item("a.png"), shelf.item("b.png")
    (tmp_path / "a.png").write_bytes(b"a.png")
    registered = FakeDirectory({item.sha256: tmp_path / "a.png"})
    media = DatasetMedia(MediaFactsStore(sqlite), shelf.blobs, decoder, shelf.clock, registered)
    own = shelf.make("own")
    assert media.source_of(own, item) == MediaSource(shelf.blobs.path(item.sha256))
    dataset = replace(own, directory=str(tmp_path))
    sources = media.find_sources(dataset, [item, gone])
    assert sources == {item.sha256: MediaSource(tmp_path / "a.png", item.sha256), gone.sha256: None}
    found = media.examine_all(sources, 9)
    assert (found[item.sha256], found[gone.sha256].facts.problem) == (PICTURE, "changed")


def test_facts_of_a_changed_file_are_not_stored_for_the_old_hash(
    shelf: Shelf, sqlite: Database, decoder: FakeDecoder, tmp_path: Path
):
    item = shelf.item("a.png")
    (tmp_path / "a.png").write_bytes(b"something else")
    registered = FakeDirectory({item.sha256: tmp_path / "a.png"})
    media = DatasetMedia(MediaFactsStore(sqlite), shelf.blobs, decoder, shelf.clock, registered)
    dataset = replace(shelf.make("own"), directory=str(tmp_path))
    assert media.examine_all(media.find_sources(dataset, [item]), 9)[item.sha256].facts.problem == "changed"
    assert media.known(item.sha256) is None


def test_disconnected_caller_ends_the_examination(shelf: Shelf, media: DatasetMedia, decoder: FakeDecoder):
    sha256 = shelf.blob(b"1")
    token = has_caller_left.set(lambda: True)
    try:
        assert media.examine_all({sha256: MediaSource(shelf.blobs.path(sha256))}, 9) == {}
    finally:
        has_caller_left.reset(token)
