"""Reusable results by key."""

from datetime import timedelta

import pytest

from api.datasets.records.derivations import KEPT, DerivationStore
from tests.unit.db.builders import NOW, Stores


@pytest.fixture
def store(stores: Stores) -> DerivationStore:
    return DerivationStore(stores.database)


def test_stored_result_is_found_and_the_first_one_stays(store: DerivationStore):
    store.keep({"a": [1], "b": [2]}, NOW)
    store.keep({"a": [9]}, NOW)
    assert store.find(["a", "b", "c", "a"], NOW) == {"a": [1], "b": [2]}


def test_many_results_are_found_in_one_query(store: DerivationStore):
    outcomes = {f"k{number}": [number] for number in range(1200)}
    store.keep(outcomes, NOW)
    assert store.find(outcomes, NOW) == outcomes


def test_results_unused_for_a_year_are_deleted(store: DerivationStore):
    store.keep({"old": [1], "used": [2]}, NOW)
    store.find(["used"], NOW + timedelta(days=200))
    store.keep({}, NOW + KEPT + timedelta(days=1))
    assert store.find(["old", "used"], NOW) == {"used": [2]}


def test_deleted_results_are_forgotten(store: DerivationStore):
    store.keep({"a": [1]}, NOW)
    store.forget(["a", "b"])
    assert store.find(["a"], NOW) == {}
