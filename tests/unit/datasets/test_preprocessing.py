"""Preprocessing tasks: started, shown, cancelled."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.datasets.derivations import DerivationStore
from api.datasets.preprocess_harvest import PreprocessHarvest
from api.datasets.preprocess_views import PreprocessStatus, PreprocessView
from api.datasets.preprocess_wish import CaptionRules, PreprocessWish, Replacement
from api.datasets.preprocessing import PreprocessingService
from api.datasets.work_files import SourceFiles
from api.db.database import Database
from api.domain.access import Credential, Role
from api.domain.media_settings import Cut, CutBy, MediaSettings
from api.domain.sight import Sight, seeing
from api.domain.task import TaskType
from api.errors import (
    DatasetExists,
    DatasetIsRegistered,
    Invalid,
    InvalidPattern,
    NotYours,
    TaskNotFinished,
    TaskNotFound,
    VersionNotFound,
)
from api.files.task_files import task_files
from api.training.attempt_store import AttemptStore
from api.training.store import TaskStore
from api.training.task_means import TaskMeans
from api.training.views import Deleted
from api.util.clock import FakeClock
from api.util.pagination import PageRequest
from tests.unit.datasets.conftest import ANN, Shelf
from tests.unit.trainings import TrainingMachine

SMALL = MediaSettings(short_side=16)
BOB = replace(ANN, user_id="bob", credential=Credential.KEY, role=Role.TRAINER, permissions=frozenset())


def no_upload(task_id: str) -> PreprocessView:
    raise TaskNotFound


@pytest.fixture
def machine(database: Database, tmp_path: Path, clock: FakeClock) -> Iterator[TrainingMachine]:
    made = TrainingMachine(database, tmp_path, clock)
    yield made
    made.close()


@pytest.fixture
def service(machine: TrainingMachine, shelf: Shelf) -> PreprocessingService:
    parts, database = machine.parts, machine.database
    files, store = SourceFiles(shelf.blobs), shelf.store
    derived = DerivationStore(database)
    harvest = PreprocessHarvest(shelf.service, store, shelf.blobs, derived, files, shelf.clock, machine.root)
    means = TaskMeans(
        TaskStore(database, TaskType.PREPROCESSING),
        AttemptStore(database, TaskType.PREPROCESSING),
        parts.intake,
        parts.dispatcher,
        parts.progress,
        parts.stops,
        parts.loop.wake,
        shelf.clock,
        machine.root,
    )
    return PreprocessingService(means, shelf.service, store, harvest, files, {"wan": 16.0, "sdxl": None}, no_upload)


@pytest.fixture
def cats(shelf: Shelf) -> Shelf:
    shelf.make("cats")
    shelf.version(shelf.item("a.mp4"), shelf.item("b.png"), shelf.item("copy of a.mp4", b"a.mp4"))
    return shelf


def test_each_file_is_worked_on_once_from_links_in_the_tasks_directory(
    service: PreprocessingService, cats: Shelf, machine: TrainingMachine
):
    made = service.start(PreprocessWish("cats", media=SMALL, model_type="wan"), ANN)
    assert (made.status, made.dataset, made.items_total) == (PreprocessStatus.QUEUED, "cats@1", None)
    output = task_files(machine.root, made.task_id).output
    assert len((output / "items.jsonl").read_text().splitlines()) == 2
    assert len(list((output / "sources").iterdir())) == 2
    assert made.request["media"]["fps"] == 16.0
    assert machine.tasks.get(made.task_id).gpu_count == 0


def test_videos_keep_their_rate_where_that_is_asked_for_or_the_model_takes_none(
    service: PreprocessingService, cats: Shelf
):
    for wish in (PreprocessWish("cats", model_type="wan", keeps_rate=True), PreprocessWish("cats", model_type="sdxl")):
        assert service.start(wish, ANN).request["media"]["fps"] is None


def test_captions_alone_need_no_file(service: PreprocessingService, cats: Shelf, machine: TrainingMachine):
    made = service.start(PreprocessWish("cats", captions=CaptionRules(prefix="x")), ANN)
    assert list((task_files(machine.root, made.task_id).output / "sources").iterdir()) == []


def test_a_retry_finds_the_first_task(service: PreprocessingService, cats: Shelf):
    first = service.start(PreprocessWish("cats"), ANN, "key")
    assert service.start(PreprocessWish("cats"), ANN, "key").task_id == first.task_id
    assert service.get_page(None, None, None, PageRequest()).pagination.total == 1


def test_cutting_by_scene_without_its_extra_says_what_to_install(
    service: PreprocessingService, cats: Shelf, monkeypatch: pytest.MonkeyPatch
):
    wish = PreprocessWish("cats", media=MediaSettings(cut=Cut(CutBy.SCENE)), model_type="wan")
    monkeypatch.setattr("api.util.extras.find_spec", lambda name: None)
    with pytest.raises(Invalid) as refused:
        service.start(wish, ANN)
    [mistake] = refused.value.mistakes
    assert (mistake.pointer, "make install EXTRAS=scenes" in mistake.message) == ("/cut/by", True)
    monkeypatch.undo()
    assert service.start(wish, ANN).status == PreprocessStatus.QUEUED


def test_mistakes_are_told_before_anything_is_made(
    service: PreprocessingService, cats: Shelf, machine: TrainingMachine
):
    cats.make("empty")
    cats.version(name="empty")
    for wish, error in (
        (PreprocessWish("a/b"), Invalid),
        (PreprocessWish("empty"), Invalid),
        (PreprocessWish("cats", model_type="wun"), Invalid),
        (PreprocessWish("cats", captions=CaptionRules(replace=(Replacement("(", is_regex=True),))), InvalidPattern),
    ):
        with pytest.raises(error):
            service.start(wish, ANN)
    assert machine.tasks.queued() == []
    assert not (machine.root / "tasks").exists()


def test_results_go_to_own_datasets_alone(service: PreprocessingService, cats: Shelf, tmp_path: Path):
    cats.make("there", directory=str(tmp_path))
    assert service.find_directory(str(tmp_path)) == "there"
    with pytest.raises(Invalid):
        service.find_directory("/nowhere")
    with pytest.raises(NotYours):
        service.start(PreprocessWish("cats"), BOB)
    with pytest.raises(DatasetIsRegistered):
        service.start(PreprocessWish("cats", into="there"), ANN)
    assert service.start(PreprocessWish("cats", into="bobs"), BOB).owner == "bob"


def test_a_name_that_a_hidden_dataset_has_is_taken(service: PreprocessingService, cats: Shelf):
    cats.make("bobs", BOB)
    cats.version(cats.item("c.png"), name="bobs")
    cats.make("anns", replace(BOB, user_id="ann"))
    with seeing(Sight("bob", False, False)), pytest.raises(DatasetExists):
        service.start(PreprocessWish("bobs", into="anns"), BOB)


def test_it_is_listed_by_status_and_cancelled_once(service: PreprocessingService, cats: Shelf):
    made = service.start(PreprocessWish("cats"), ANN)
    assert service.cancel(made.task_id, "ann").status is PreprocessStatus.CANCELLED
    assert service.cancel(made.task_id, "ann").status is PreprocessStatus.CANCELLED
    listed = service.get_page(PreprocessStatus.CANCELLED, None, None, PageRequest())
    assert [row.task_id for row in listed.rows] == [made.task_id]
    assert service.get_page(PreprocessStatus.FAILED, None, None, PageRequest()).rows == ()
    assert len(service.get_events(made.task_id, PageRequest()).rows) == 2


def test_a_list_tells_what_each_works_on(service: PreprocessingService, cats: Shelf):
    service.start(PreprocessWish("cats", into="dogs"), ANN)
    assert [row.dataset for row in service.get_page(None, None, None, PageRequest()).rows] == ["cats@1"]


def test_a_finished_one_is_deleted_with_its_files(service: PreprocessingService, cats: Shelf, machine: TrainingMachine):
    made = service.start(PreprocessWish("cats", media=SMALL), ANN)
    root = task_files(machine.root, made.task_id).root
    with pytest.raises(TaskNotFinished):
        service.delete(made.task_id)
    assert root.is_dir()
    service.cancel(made.task_id, "ann")
    assert service.delete(made.task_id) == Deleted(made.task_id, True, None)
    assert not root.exists()
    assert cats.service.find_version(cats.service.find("cats")).ordinal == 1
    for ask in (service.get, service.delete):
        with pytest.raises(TaskNotFound):
            ask(made.task_id)


def test_a_registered_directory_is_to_be_looked_at_and_not_uploaded_to(
    service: PreprocessingService, shelf: Shelf, tmp_path: Path
):
    shelf.make("there", directory=str(tmp_path))
    with pytest.raises(VersionNotFound, match="there/refresh"):
        service.start(PreprocessWish("there", into="dogs"), ANN)
    shelf.version(name="there")
    with pytest.raises(Invalid) as refused:
        service.start(PreprocessWish("there", into="dogs"), ANN)
    assert "there/refresh" in (refused.value.mistakes[0].remedy or "")


def test_trainings_are_none(service: PreprocessingService, machine: TrainingMachine):
    machine.put("a")
    for ask in (lambda: service.get("a"), lambda: service.get_events("a", PageRequest())):
        with pytest.raises(TaskNotFound):
            ask()


def test_an_upload_that_began_its_task_meanwhile_is_shown_as_that_task(
    service: PreprocessingService, cats: Shelf, monkeypatch: pytest.MonkeyPatch
):
    started: list[PreprocessView] = []

    def upload(task_id: str) -> PreprocessView:
        started.append(service.start(PreprocessWish("cats", media=SMALL), ANN, None, task_id))
        return replace(started[0], status=PreprocessStatus.COMPLETED)

    monkeypatch.setattr(service, "_find_upload", upload)
    assert service.get("preprocess_20260101_00000001") == started[0]
    assert started[0].status is PreprocessStatus.QUEUED
