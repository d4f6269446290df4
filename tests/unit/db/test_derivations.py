"""What was made before, by its key."""

from datetime import timedelta

import pytest

from api.datasets.derivations import KEPT, DerivationStore
from tests.unit.db.builders import NOW, Stores


@pytest.fixture
def store(stores: Stores) -> DerivationStore:
    return DerivationStore(stores.database)


def test_what_is_kept_is_found_and_the_first_word_holds(store: DerivationStore):
    store.keep({"a": [1], "b": [2]}, NOW)
    store.keep({"a": [9]}, NOW)
    assert store.find(["a", "b", "c", "a"], NOW) == {"a": [1], "b": [2]}


def test_many_are_found_at_once(store: DerivationStore):
    outcomes = {f"k{number}": [number] for number in range(1200)}
    store.keep(outcomes, NOW)
    assert store.find(outcomes, NOW) == outcomes


def test_what_nobody_asked_for_in_a_year_goes(store: DerivationStore):
    store.keep({"old": [1], "used": [2]}, NOW)
    store.find(["used"], NOW + timedelta(days=200))
    store.keep({}, NOW + KEPT + timedelta(days=1))
    assert store.find(["old", "used"], NOW) == {"used": [2]}


def test_what_is_gone_is_forgotten(store: DerivationStore):
    store.keep({"a": [1]}, NOW)
    store.forget(["a", "b"])
    assert store.find(["a"], NOW) == {}
