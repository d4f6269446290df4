"""Automatic samples: after saved models of a training, tasks are created that render its sample set with them.

A training is never affected: whatever fails here is reported as its warning, and tried again.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from api.db.leadership import LeadershipLost
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.cause import CauseCode
from api.domain.tasks.training import TaskStatus, TrainingTask
from api.errors import ArtifactNotFound, CheckpointNotFound, DatabaseUnavailable, ServiceError, TaskNotFound
from api.files.weights.header import Unsound, read_open_header
from api.jobs.exports.request import MARK
from api.samples.rendering import SampleRendering
from api.training.output.artifacts import open_artifact, saved_models
from api.training.records.automatic_sample_store import KnownModel, SampleOrderStore, StoredOrder
from api.training.records.task_store import TaskStore
from api.util.clock import Clock, time_of
from api.util.files.foreign_files import status_of
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two rounds.
ROUND_SECONDS = 5.0

#: Time after a training's end for which its files are looked at, at least.
_REST = timedelta(seconds=10)

#: Path components of the mark of an export, from its end, in which symbolic links are not followed.
_MARK_LEVELS = 4

#: The author of the tasks in events and audit.
_ACTOR = "service"

#: Attempts of one task after which it is not repeated.
_MOST_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class _File:
    size: int
    modified_at: float


class AutomaticSamples:
    """Creates one sampling task for each saved model that is due.

    Several servers may do so at the same time, and be killed at any time: tasks have a key by which they are created
    once, and a model is due until its task is stored with it.
    """

    def __init__(
        self,
        orders: SampleOrderStore,
        rendering: SampleRendering,
        trainings: TaskStore,
        samplings: TaskStore,
        clock: Clock,
        is_here: Callable[[], bool],
        is_available: Callable[[], bool],
    ) -> None:
        """`is_here`: whether this server observes the trainings. `is_available`: whether samples can be rendered."""
        self._orders = orders
        self._rendering = rendering
        self._trainings = trainings
        self._samplings = samplings
        self._clock = clock
        self._is_here = is_here
        self._is_available = is_available
        #: Sizes and times of files at the last look, by training and path. An unchanged file is complete.
        self._seen: dict[tuple[str, str], _File] = {}
        self.thread = PeriodicThread("automatic-samples", ROUND_SECONDS, self.run_once)

    def run_once(self) -> None:
        """Make one round over the trainings with automatic samples."""
        if not self._is_here():
            return
        try:
            unsettled = self._orders.unsettled()
        except DatabaseUnavailable:
            return
        open_ids = {each.task_id for each in unsettled}
        self._seen = {key: file for key, file in self._seen.items() if key[0] in open_ids}
        for each in unsettled:
            try:
                self._look(each)
            except (DatabaseUnavailable, LeadershipLost, TaskNotFound):
                continue
            except Exception:
                # A training with an unreadable directory must not affect the samples of others.
                logger.exception("automatic samples failed", extra={"task_id": each.task_id})

    def _look(self, stored: StoredOrder) -> None:
        began = self._clock.now()
        task = self._trainings.get(stored.task_id)
        output = self._rendering.output_of(task.task_id)
        if not output.is_dir():
            return  # its files are on another machine
        known = self._orders.models(task.task_id)
        new, may_grow = self._find_new(stored, {model.path for model in known})
        if new:
            known = self._orders.note_models(task.task_id, new)
        problem, is_settled = self._render(task, stored, known)
        if (problem is None) != (stored.problem is None):
            self._orders.note_problem(task.task_id, problem, began)
        if is_settled and not may_grow and _has_rested(task, began):
            self._orders.settle(task.task_id, began)

    def _find_new(self, stored: StoredOrder, known: Collection[str]) -> tuple[list[tuple[str, str]], bool]:
        """Return paths and names of new complete models, oldest first, and whether others may become complete soon."""
        output, found, may_grow = self._rendering.output_of(stored.task_id), [], False
        for name, path in saved_models(output).items():
            if path in known or _is_exported(str(output / path)):
                continue
            file = _complete_file(output, path)
            if file is None or time_of(file.modified_at) < stored.since:
                continue
            # The trainer may still write it, so it must also have stayed the same since the last look.
            key = stored.task_id, path
            if self._seen.get(key) == file:
                found.append((path, name))
            else:
                self._seen[key], may_grow = file, True
        return found, may_grow

    def _render(
        self, task: TrainingTask, stored: StoredOrder, known: Sequence[KnownModel]
    ) -> tuple[ReasonOrText | None, bool]:
        """Create the tasks of due models. Return why samples are late, and whether nothing is left to do."""
        due = [model for model in known if model.is_due]
        running, late, failed = self._states(task.task_id, known)
        if not due and not late:
            return failed, not running
        if not self._is_available():
            why = Reason.of(
                "samples are late: no ComfyUI of COMFYUI_URL answers. Start it; what is missing is then rendered.",
                "samples_late",
            )
            return why, False
        for model in due:
            try:
                self._create(task, stored, model)
            except (DatabaseUnavailable, LeadershipLost):
                raise
            except (ServiceError, OSError) as error:
                reason = error.detail if isinstance(error, ServiceError) else str(error.strerror)
                refused = Reason.of("no samples of {name}: {why}", "samples_refused", name=model.name, why=reason)
                return refused, False
        for again in late:
            self._rendering.repeat(again, _ACTOR)
        return failed, False

    def _states(
        self, task_id: str, known: Sequence[KnownModel]
    ) -> tuple[bool, list[TrainingTask], ReasonOrText | None]:
        """Return whether a task runs, those that found no ComfyUI, and why the last other one failed."""
        is_running, late, failed = False, [], None
        statuses = self._samplings.samplings_of(task_id)
        for model in known:
            if model.sampling_id is None or (status := statuses.get(model.sampling_id)) is None:
                continue  # there is no task yet, or a user has deleted it
            is_running = is_running or not status.is_finished
            if status is TaskStatus.COMPLETED:
                failed = None
            elif status is TaskStatus.FAILED:
                task = self._samplings.get(model.sampling_id)
                if task.cause is None:
                    continue
                if task.cause.code is CauseCode.NETWORK and task.attempts < _MOST_ATTEMPTS:
                    late.append(task)
                else:
                    failed = Reason.of(
                        "no samples of {name}: {why}", "samples_refused", name=model.name, why=task.cause.message
                    )
        return is_running, late, failed

    def _create(self, task: TrainingTask, stored: StoredOrder, model: KnownModel) -> None:
        # A path may be longer than a key.
        key = f"samples {task.task_id} {hashlib.sha256(model.path.encode()).hexdigest()}"
        order = stored.order
        first = self._samplings.find_by_key(key)
        try:
            sampling_id = (
                self._rendering.start(task.task_id, [model.name], order.spec, order.trigger, _ACTOR, key)
                if first is None
                else first.task_id
            )
        except CheckpointNotFound:
            sampling_id = None  # it was deleted meanwhile
        self._orders.note_sampling(task.task_id, model.path, sampling_id)


def _has_rested(task: TrainingTask, now: datetime) -> bool:
    """Return whether a training ended long enough ago for all its files to be complete."""
    return task.status.is_finished and task.finished_at is not None and now - task.finished_at > _REST


def _is_exported(path: str) -> bool:
    """Return whether a user had this model made of a checkpoint."""
    try:
        status_of(os.path.join(os.path.dirname(path), MARK), _MARK_LEVELS)
    except OSError:
        return False
    return True


def _complete_file(output: Path, path: str) -> _File | None:
    """Return size and time of a saved model, or None if it is incomplete."""
    try:
        opened = open_artifact(output, path, "")
    except ArtifactNotFound:
        return None
    try:
        read_open_header(opened.descriptor, opened.size)
    except (Unsound, OSError):
        return None
    finally:
        os.close(opened.descriptor)
    return _File(opened.size, opened.modified_at)
