"""Samples of trainings in both databases."""

from dataclasses import replace

import pytest

from api.db.database import Database
from api.errors import SampleNotFound
from api.jobs.sampling.request import SampleRecord
from api.training.records.sample_store import StoredSample, TrainingSampleStore, remove_samples
from tests.unit.db.builders import NOW

RECORD = SampleRecord("epoch1", 0, 2**53 - 1, 1.0, "a.png", "a" * 64, "b" * 64, 8, 8, 1, 0, "hash", "0.3.64")
SAMPLE = StoredSample("train_1", "sample_1", RECORD, "settings", "a \0cat \ud800", None, NOW)
BASE = replace(SAMPLE, record=replace(RECORD, checkpoint=None, strength=0.0))


@pytest.fixture
def store(database: Database) -> TrainingSampleStore:
    return TrainingSampleStore(database)


def page(store: TrainingSampleStore, *filters: str | None, cursor: int | None = None) -> list[StoredSample]:
    checkpoint, prompt = (*filters, None, None)[:2]
    return store.page("train_1", checkpoint, prompt, 10, 0, cursor)[0]


def test_sample_is_stored_once_and_keeps_its_rating(store: TrainingSampleStore):
    store.put([SAMPLE, BASE])
    store.rate("train_1", SAMPLE.sample_id, 4)
    store.put([SAMPLE, replace(BASE, record=replace(BASE.record, problem="lost", file=None))])
    newest, oldest = page(store)
    assert (oldest.record, oldest.rating, oldest.sample_id) == (RECORD, 4, SAMPLE.sample_id)
    assert (newest.record.problem, newest.record.file, newest.record.checkpoint) == ("lost", None, None)
    assert "\0" not in oldest.text


def test_later_record_of_the_same_sample_in_one_call_counts(store: TrainingSampleStore):
    store.put([replace(SAMPLE, record=replace(RECORD, problem="out of memory", file=None)), SAMPLE])
    assert [each.record for each in page(store)] == [RECORD]


def test_filters_and_cursor(store: TrainingSampleStore):
    other = replace(SAMPLE, text="a dog", record=replace(RECORD, prompt=1))
    store.put([SAMPLE, BASE, other, replace(SAMPLE, task_id="train_2", sampling_id="sample_2")])
    assert [each.record.checkpoint for each in page(store)] == ["epoch1", None, "epoch1"]
    assert [each.record.checkpoint for each in page(store, "")] == [None]
    assert [each.text for each in page(store, "epoch1", "a dog")] == ["a dog"]
    first = page(store)[0]
    assert len(page(store, cursor=first.serial)) == 2
    assert store.page("train_1", None, None, 1, 1, None)[1] == 3


def test_samples_of_other_trainings_are_not_found(store: TrainingSampleStore):
    store.put([SAMPLE])
    with pytest.raises(SampleNotFound):
        store.get("train_2", SAMPLE.sample_id)
    with pytest.raises(SampleNotFound):
        store.rate("train_2", SAMPLE.sample_id, 1)


@pytest.mark.parametrize("of", ["train_1", "sample_1"])
def test_samples_are_removed_with_their_training_or_task(store: TrainingSampleStore, database: Database, of: str):
    kept = replace(SAMPLE, task_id="train_2", sampling_id="sample_2")
    store.put([SAMPLE, BASE, kept])
    with database.write() as connection:
        remove_samples(connection, of)
    assert page(store) == []
    assert store.get("train_2", kept.sample_id).settings == "settings"


def test_common_prompts_have_the_newest_sample_of_each_model(store: TrainingSampleStore):
    first, base = replace(SAMPLE, text="a cat"), replace(BASE, text="a cat")
    second = replace(first, task_id="train_2", sampling_id="sample_2")
    again = replace(second, sampling_id="sample_3")
    seed = replace(RECORD, seed=2)
    alone, other_seed = replace(first, text="alone", record=replace(RECORD, prompt=1)), replace(first, record=seed)
    late = [replace(each, text="a dog", record=replace(RECORD, prompt=3)) for each in (first, second)]
    store.put([first, base, second, alone, replace(other_seed, sampling_id="sample_4"), again, *late])
    groups, total = store.common(["train_1", "train_2"], 10)
    assert total == 2
    assert [[(each.text, each.task_id, each.record.checkpoint) for each in group] for group in groups] == [
        [("a dog", "train_1", "epoch1"), ("a dog", "train_2", "epoch1")],
        [("a cat", "train_1", "epoch1"), ("a cat", "train_1", None), ("a cat", "train_2", "epoch1")],
    ]
    assert groups[1][2].sampling_id == "sample_3"
    assert [group[0].text for group in store.common(["train_1", "train_2"], 1)[0]] == ["a dog"]
    assert store.common(["train_1", "train_3"], 10) == ([], 0)
