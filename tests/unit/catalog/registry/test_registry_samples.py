from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from api.catalog.registry.models import NewModelVersion
from api.catalog.registry.sample_store import RegistrySampleStore
from api.catalog.registry.store import RegistryStore
from api.db.database import Database
from api.domain.datasets.dataset import MediaFacts, MediaKind
from api.domain.samples.library_sample import MOST_SAMPLES, NewSample, SampleSettings
from api.errors import SampleNotFound, TooManySamples
from tests.unit.db.builders import NOW

FACTS = MediaFacts(MediaKind.IMAGE, "png", 8, 6, frame_count=1)
NEW = NewSample("0" * 32, "a" * 64, 10, "png", FACTS, SampleSettings("a \0cat", "7", 20), "ann")


@pytest.fixture
def models(database: Database) -> RegistryStore:
    store = RegistryStore(database)
    store.ensure("cats", "ann", NOW)
    store.add_version("cats", NewModelVersion("c" * 64, 5, "ann", "", None, (), {}, {}), [], NOW)
    return store


@pytest.fixture
def serial(models: RegistryStore) -> int:
    return models.get("cats").serial


@pytest.fixture
def samples(database: Database) -> RegistrySampleStore:
    return RegistrySampleStore(database)


def test_sample_is_stored_once_by_id(samples: RegistrySampleStore, models: RegistryStore, serial: int):
    made = samples.add(serial, 1, NEW, NOW)
    assert samples.add(serial, 1, replace(NEW, actor="bob"), NOW) == made
    assert samples.of_version(serial, 1) == [made]
    assert (made.width, made.kind, made.settings.seed, made.ending) == (8, MediaKind.IMAGE, "7", ".png")
    assert "\0" not in (made.settings.prompt or "")
    assert (models.get_version("cats", "1").samples, models.stored_by()) == (1, {"ann": 15})
    assert models.needed(["a" * 64, "b" * 64, "c" * 64]) == {"a" * 64, "c" * 64}


def test_concurrent_additions_respect_the_limit(samples: RegistrySampleStore, serial: int):
    def add(number: int) -> bool:
        try:
            samples.add(serial, 1, replace(NEW, sample_id=f"{number:032x}"), NOW)
        except TooManySamples:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(add, range(MOST_SAMPLES + 10))) == MOST_SAMPLES


def test_sample_is_deleted_with_its_version(samples: RegistrySampleStore, models: RegistryStore, serial: int):
    samples.add(serial, 1, NEW, NOW)
    models.delete_version("cats", "1")
    assert models.needed(["a" * 64]) == set()
    with pytest.raises(SampleNotFound):
        samples.add(serial, 1, NEW, NOW)
    with pytest.raises(SampleNotFound):
        samples.remove(serial, 1, NEW.sample_id)
