from dataclasses import replace

import pytest
from sqlalchemy import update

from api.datasets.records.media_facts import MediaFactsStore
from api.db.database import Database
from api.db.dataset_tables import media_facts
from api.domain.datasets.dataset import MediaFacts, MediaKind
from api.domain.datasets.media import MediaProbe
from tests.unit.db.builders import NOW

CLIP = MediaProbe(
    MediaFacts(MediaKind.VIDEO, "mp4", 640, 360, 2.5, 25.0, 62, True, "truncated", "It ends."),
    63,
    90,
    "0123456789abcdef",
)


@pytest.fixture
def store(database: Database) -> MediaFactsStore:
    return MediaFactsStore(database)


def test_facts_are_read_as_they_were_stored(store: MediaFactsStore):
    picture = MediaProbe(MediaFacts(MediaKind.IMAGE, "png", 8, 8, frame_count=1), 1)
    store.put({"a" * 64: CLIP, "b" * 64: picture}, NOW)
    assert store.get(["a" * 64, "b" * 64, "c" * 64]) == {"a" * 64: CLIP, "b" * 64: picture}


def test_facts_of_many_blobs_are_stored_and_found(store: MediaFactsStore):
    probes = {f"{number:064x}": replace(CLIP, stated_frames=number) for number in range(1100)}
    store.put(probes, NOW)
    assert store.get(probes.keys()) == probes


def test_known_facts_are_not_replaced(store: MediaFactsStore):
    store.put({"a" * 64: CLIP}, NOW)
    store.put({"a" * 64: replace(CLIP, rotation=0)}, NOW)
    assert store.get(["a" * 64])["a" * 64].rotation == 90


def test_facts_of_an_earlier_decoder_are_replaced(store: MediaFactsStore, database: Database):
    store.put({"a" * 64: CLIP}, NOW)
    with database.write() as connection:
        connection.execute(update(media_facts).values(prober="0"))
    assert store.get(["a" * 64]) == {}
    store.put({"a" * 64: replace(CLIP, rotation=0)}, NOW)
    assert store.get(["a" * 64])["a" * 64].rotation == 0


def test_impossible_number_is_unknown(store: MediaFactsStore):
    store.put({"a" * 64: replace(CLIP, stated_frames=2**40)}, NOW)
    assert store.get(["a" * 64])["a" * 64].stated_frames is None
