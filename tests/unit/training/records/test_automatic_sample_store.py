"""Automatic samples in both databases."""

from datetime import timedelta

from api.db.database import Database
from api.domain.samples.sample_set import SampleOrder, SamplingSpec, SetPrompt, SetSettings
from api.training.records.automatic_sample_store import SampleOrderStore, put_order
from api.training.records.sample_store import TrainingSampleStore
from tests.unit.db.builders import NOW

ORDER = SampleOrder("dogs", 2, 2, "ohwx", SamplingSpec(SetSettings((SetPrompt("a {trigger}", None, 7),), 1), {"1": {}}))


def put(database: Database, order: SampleOrder | None) -> None:
    with database.write() as connection:
        put_order(connection, "train_1", order, NOW)


def test_models_are_numbered_once_and_every_second_is_due(database: Database):
    store = SampleOrderStore(database)
    put(database, ORDER)
    first = store.note_models("train_1", [("run/epoch1/a", "epoch1"), ("run/epoch2/a", "epoch2")])
    assert [(each.name, each.is_due) for each in first] == [("epoch1", False), ("epoch2", True)]
    again = store.note_models("train_1", [("run/epoch2/a", "epoch2"), ("run/epoch3/a", "epoch3")])
    assert [each.is_due for each in again] == [False, True, False]
    store.note_sampling("train_1", "run/epoch2/a", "sample_1")
    assert [(each.is_due, each.sampling_id) for each in store.models("train_1")][1] == (False, "sample_1")


def test_order_is_replaced_and_ended(database: Database):
    store = SampleOrderStore(database)
    put(database, ORDER)
    found = store.find("train_1")
    assert found is not None
    assert (found.order, found.since, found.problem) == (ORDER, NOW, None)
    store.note_problem("train_1", "no ComfyUI", NOW)
    store.note_problem("train_1", "another reason", NOW)
    found = store.find("train_1")
    assert found is not None
    assert found.problem == "no ComfyUI"
    store.settle("train_1", NOW + timedelta(seconds=1))
    store.note_models("train_1", [("a", "epoch1"), ("b", "epoch2")])
    put(database, None)
    assert store.find("train_1") is None
    assert not any(each.is_due for each in store.models("train_1"))
    assert store.unsettled() == []


def test_unknown_trigger_word_is_none(database: Database):
    assert TrainingSampleStore(database).find_trigger(()) is None
