"""Preprocessing tasks: start, show, cancel, delete."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.datasets.preparation.caption_rules import CaptionRules, Replacement
from api.datasets.preparation.request import PreprocessRequest
from api.datasets.preparation.results import PreprocessResultRecorder
from api.datasets.preparation.service import PreprocessingService
from api.datasets.preparation.views import PreprocessStatus, PreprocessView
from api.datasets.preparation.work_files import SourceFiles
from api.datasets.records.derivations import DerivationStore
from api.db.database import Database
from api.domain.access.principal import Credential, Role
from api.domain.access.read_scope import ReadScope, seeing
from api.domain.datasets.media_settings import Cut, CutBy, MediaSettings
from api.domain.tasks.task import TaskType
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
from api.files.task_files import TaskStorage, task_files
from api.training.records.attempt_store import AttemptStore
from api.training.records.task_store import TaskStore
from api.training.task_resources import TaskResources
from api.training.views import Deleted
from api.util.clock import FakeClock
from api.util.http.pagination import PageRequest
from tests.unit.datasets.conftest import ANN, Shelf
from tests.unit.trainings import TrainingMachine

SMALL = MediaSettings(short_side=16)
BOB = replace(ANN, user_id="bob", credential=Credential.KEY, role=Role.TRAINER, permissions=frozenset())


def no_upload(task_id: str) -> PreprocessView:
    raise TaskNotFound


@pytest.fixture
def machine(sqlite: Database, tmp_path: Path, clock: FakeClock) -> Iterator[TrainingMachine]:
    made = TrainingMachine(sqlite, tmp_path, clock)
    yield made
    made.close()


@pytest.fixture
def service(machine: TrainingMachine, shelf: Shelf) -> PreprocessingService:
    parts, database = machine.parts, machine.database
    files, store = SourceFiles(shelf.blobs), shelf.store
    derived = DerivationStore(database)
    recorder = PreprocessResultRecorder(shelf.service, store, shelf.blobs, derived, files, shelf.clock, machine.root)
    resources = TaskResources(
        TaskStore(database, TaskType.PREPROCESSING),
        AttemptStore(database, TaskType.PREPROCESSING),
        parts.intake,
        parts.dispatcher,
        parts.progress,
        parts.stops,
        shelf.clock,
        TaskStorage(machine.root),
    )
    return PreprocessingService(
        resources, shelf.service, store, recorder, files, {"wan": 16.0, "sdxl": None}, no_upload
    )


@pytest.fixture
def cats(shelf: Shelf) -> Shelf:
    shelf.make("cats")
    shelf.version(shelf.item("a.mp4"), shelf.item("b.png"), shelf.item("copy of a.mp4", b"a.mp4"))
    return shelf


def test_each_file_is_processed_once_from_links_in_the_task_directory(
    service: PreprocessingService, cats: Shelf, machine: TrainingMachine
):
    made = service.start(PreprocessRequest("cats", media=SMALL, model_type="wan"), ANN)
    assert (made.status, made.dataset, made.items_total) == (PreprocessStatus.QUEUED, "cats@1", None)
    output = task_files(machine.root, made.task_id).output
    assert len((output / "items.jsonl").read_text().splitlines()) == 2
    assert len(list((output / "sources").iterdir())) == 2
    assert made.request["media"]["fps"] == 16.0
    assert machine.tasks.get(made.task_id).gpu_count == 0


def test_videos_keep_their_rate_on_request_or_for_image_models(service: PreprocessingService, cats: Shelf):
    for request in (
        PreprocessRequest("cats", model_type="wan", keeps_rate=True),
        PreprocessRequest("cats", model_type="sdxl"),
    ):
        assert service.start(request, ANN).request["media"]["fps"] is None


def test_captions_alone_need_no_files(service: PreprocessingService, cats: Shelf, machine: TrainingMachine):
    made = service.start(PreprocessRequest("cats", captions=CaptionRules(prefix="x")), ANN)
    assert list((task_files(machine.root, made.task_id).output / "sources").iterdir()) == []


def test_retry_returns_the_first_task(service: PreprocessingService, cats: Shelf):
    first = service.start(PreprocessRequest("cats"), ANN, "key")
    assert service.start(PreprocessRequest("cats"), ANN, "key").task_id == first.task_id
    assert service.get_page(None, None, None, PageRequest()).pagination.total == 1


def test_cutting_by_scene_without_its_extra_names_the_package(
    service: PreprocessingService, cats: Shelf, monkeypatch: pytest.MonkeyPatch
):
    request = PreprocessRequest("cats", media=MediaSettings(cut=Cut(CutBy.SCENE)), model_type="wan")
    monkeypatch.setattr("api.util.extras.find_spec", lambda name: None)
    with pytest.raises(Invalid) as rejected:
        service.start(request, ANN)
    [mistake] = rejected.value.mistakes
    assert (mistake.pointer, "make install EXTRAS=scenes" in mistake.message) == ("/cut/by", True)
    monkeypatch.undo()
    assert service.start(request, ANN).status == PreprocessStatus.QUEUED


def test_errors_are_reported_before_anything_is_created(
    service: PreprocessingService, cats: Shelf, machine: TrainingMachine
):
    cats.make("empty")
    cats.version(name="empty")
    for request, error in (
        (PreprocessRequest("a/b"), Invalid),
        (PreprocessRequest("empty"), Invalid),
        (PreprocessRequest("cats", model_type="wun"), Invalid),
        (PreprocessRequest("cats", captions=CaptionRules(replace=(Replacement("(", is_regex=True),))), InvalidPattern),
    ):
        with pytest.raises(error):
            service.start(request, ANN)
    assert machine.tasks.queued() == []
    assert not (machine.root / "tasks").exists()


def test_result_goes_only_into_own_datasets(service: PreprocessingService, cats: Shelf, tmp_path: Path):
    cats.make("there", directory=str(tmp_path))
    assert service.find_directory(str(tmp_path)) == "there"
    with pytest.raises(Invalid):
        service.find_directory("/nowhere")
    with pytest.raises(NotYours):
        service.start(PreprocessRequest("cats"), BOB)
    with pytest.raises(DatasetIsRegistered):
        service.start(PreprocessRequest("cats", into="there"), ANN)
    assert service.start(PreprocessRequest("cats", into="bobs"), BOB).owner == "bob"


def test_name_of_a_hidden_dataset_is_a_conflict(service: PreprocessingService, cats: Shelf):
    cats.make("bobs", BOB)
    cats.version(cats.item("c.png"), name="bobs")
    cats.make("anns", replace(BOB, user_id="ann"))
    with seeing(ReadScope("bob", False, False)), pytest.raises(DatasetExists):
        service.start(PreprocessRequest("bobs", into="anns"), BOB)


def test_task_is_listed_by_status_and_cancelled_once(service: PreprocessingService, cats: Shelf):
    made = service.start(PreprocessRequest("cats"), ANN)
    assert service.cancel(made.task_id, "ann").status is PreprocessStatus.CANCELLED
    assert service.cancel(made.task_id, "ann").status is PreprocessStatus.CANCELLED
    listed = service.get_page(PreprocessStatus.CANCELLED, None, None, PageRequest())
    assert [row.task_id for row in listed.rows] == [made.task_id]
    assert service.get_page(PreprocessStatus.FAILED, None, None, PageRequest()).rows == ()
    assert len(service.get_events(made.task_id, PageRequest()).rows) == 2


def test_list_shows_the_source_of_each_task(service: PreprocessingService, cats: Shelf):
    service.start(PreprocessRequest("cats", into="dogs"), ANN)
    assert [row.dataset for row in service.get_page(None, None, None, PageRequest()).rows] == ["cats@1"]


def test_finished_task_is_deleted_with_its_files(service: PreprocessingService, cats: Shelf, machine: TrainingMachine):
    made = service.start(PreprocessRequest("cats", media=SMALL), ANN)
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


def test_empty_registered_directory_needs_a_refresh(service: PreprocessingService, shelf: Shelf, tmp_path: Path):
    shelf.make("there", directory=str(tmp_path))
    with pytest.raises(VersionNotFound, match="there/refresh"):
        service.start(PreprocessRequest("there", into="dogs"), ANN)
    shelf.version(name="there")
    with pytest.raises(Invalid) as rejected:
        service.start(PreprocessRequest("there", into="dogs"), ANN)
    assert "there/refresh" in (rejected.value.mistakes[0].remedy or "")


def test_trainings_are_not_listed(service: PreprocessingService, machine: TrainingMachine):
    machine.put("a")
    for ask in (lambda: service.get("a"), lambda: service.get_events("a", PageRequest())):
        with pytest.raises(TaskNotFound):
            ask()


def test_upload_whose_task_has_started_is_shown_as_that_task(
    service: PreprocessingService, cats: Shelf, monkeypatch: pytest.MonkeyPatch
):
    started: list[PreprocessView] = []

    def upload(task_id: str) -> PreprocessView:
        started.append(service.start(PreprocessRequest("cats", media=SMALL), ANN, None, task_id))
        return replace(started[0], status=PreprocessStatus.COMPLETED)

    monkeypatch.setattr(service, "_find_upload", upload)
    assert service.get("preprocess_20260101_00000001") == started[0]
    assert started[0].status is PreprocessStatus.QUEUED
