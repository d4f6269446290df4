"""A new version from the captions of a model."""

import json
from pathlib import Path
from typing import Any

import pytest

from api.datasets.captions.generation import caption_key
from api.datasets.captions.results import CaptionResultRecorder
from api.datasets.records.derivations import DerivationStore
from api.db.database import Database
from api.domain.datasets.captioning import CaptionSettings
from api.domain.datasets.dataset import ManifestItem, PinnedDataset
from api.domain.tasks.training import GPURequest, NewTask, TrainingPlan, TrainingRequest, TrainingTask
from api.files.task_files import task_files
from api.training.records.task_store import TaskStore
from tests.unit.datasets.conftest import Shelf

SETTINGS = CaptionSettings("http://127.0.0.1/v1", "m", "What is it?").as_json()


class Answered:
    """A task whose program has stored answers."""

    def __init__(self, shelf: Shelf, database: Database, root: Path, *items: ManifestItem) -> None:
        self.shelf, self.root, self.derivations = shelf, root, DerivationStore(database)
        self.recorder = CaptionResultRecorder(shelf.service, self.derivations, shelf.clock, root)
        dataset = shelf.make("cats")
        version = shelf.version(*items)
        pin = PinnedDataset("cats", 1, f"sha256:{version.manifest_sha256}", len(items), dataset.serial)
        config = {
            "wish": {"model": "m", "only_missing": True, "message": None},
            "input": {"dataset": "cats", "version": 1, "manifest": version.manifest_sha256},
            "target": {"name": "cats", "serial": dataset.serial},
            "settings": SETTINGS,
        }
        request = TrainingRequest("", GPURequest(count=0), config=config)
        plan = TrainingPlan("captioning", "", 0, datasets=(pin,))
        new = NewTask("e", "captioning", request, plan, owner="ann")
        self.task: TrainingTask = TaskStore(database).create(new, shelf.clock.now(), "ann")
        self.made = task_files(root, "e").output / "made"
        self.made.mkdir(parents=True)

    def answer(self, item: ManifestItem, caption: Any, problem: str | None = None) -> None:
        path = self.made / f"{caption_key(item, SETTINGS)}.caption.json"
        path.write_text(json.dumps({"key": "k", "caption": caption, "problem": problem}))

    def record(self) -> Any:
        return self.recorder.record(self.task, self.made.parent).result


@pytest.fixture
def items(shelf: Shelf) -> list[ManifestItem]:
    return [shelf.item("a.png", caption=None), shelf.item("b.png", caption="mine")]


@pytest.fixture
def answered(shelf: Shelf, sqlite: Database, tmp_path: Path, items: list[ManifestItem]) -> Answered:
    return Answered(shelf, sqlite, tmp_path, *items)


def test_answers_become_a_version_with_its_differences(answered: Answered, items: list[ManifestItem]):
    answered.answer(items[0], "a cat")
    result = answered.record()
    assert (result["reference"], result["previous"], result["made"], result["difference_count"]) == ("cats@2", 1, 1, 1)
    assert result["differences"] == [{"item_id": items[0].item_id, "name": "a.png", "before": None, "after": "a cat"}]
    assert answered.record() == result
    assert set(answered.derivations.find([caption_key(items[0], SETTINGS)], answered.shelf.clock.now())) == {
        caption_key(items[0], SETTINGS)
    }


@pytest.mark.parametrize("content", ["", "[]", '{"caption": 5, "problem": null}', '{"caption": " ", "problem": "x"}'])
def test_no_valid_caption_is_an_error(answered: Answered, items: list[ManifestItem], content: str):
    (answered.made / f"{caption_key(items[0], SETTINGS)}.caption.json").write_text(content)
    with pytest.raises(ValueError, match="None of 1 captions could be generated"):
        answered.record()


def test_captions_edited_meanwhile_are_kept(answered: Answered, items: list[ManifestItem]):
    answered.answer(items[0], "a cat")
    shelf = answered.shelf
    shelf.version(shelf.item("a.png", caption="by hand"), items[1])
    result = answered.record()
    assert (result["reference"], result["difference_count"]) == ("cats@2", 0)


def test_excluded_item_is_not_captioned_and_stays_excluded(shelf: Shelf, sqlite: Database, tmp_path: Path):
    plain, excluded = shelf.item("a.png", caption=None), shelf.item("b.png", caption=None, excluded=True)
    answered = Answered(shelf, sqlite, tmp_path, plain, excluded)
    answered.answer(plain, "a cat")
    assert answered.record()["problem_count"] == 0
    latest = shelf.service.find_version(shelf.store.get("cats"))
    stored = shelf.service.read_items(latest.manifest_sha256)
    assert [(item.caption, item.excluded) for item in stored] == [("a cat", False), (None, True)]
