"""Send trainings to one tracker: configuration, metrics, samples and how they end.

What a tracker has received is a cursor over the stored metrics and samples. So an unreachable tracker costs a request
now and then, and nothing is lost.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.db.leadership import LeadershipLost
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.training import TrainingTask
from api.errors import DatabaseUnavailable, TaskNotFound
from api.files.task_files import task_files
from api.jobs.sampling.request import PICTURES
from api.training.attempts.watch.series import EPOCH_LOSS, TAGS, Stretch, list_stretches
from api.training.records.attempt_store import AttemptStore
from api.training.records.sample_store import StoredSample, TrainingSampleStore
from api.training.trackers.store import DELETED, Sent, TrackerStore
from api.training.trackers.tracker import (
    Batch,
    Picture,
    TrackedRunDeleted,
    TrackedTraining,
    Tracker,
    TrackerProblem,
)
from api.training.view_builders import read_config, read_dataset
from api.util.clock import Clock
from api.util.periodic import PeriodicThread
from api.util.text.masking import mask_secrets

logger = logging.getLogger(__name__)

#: Seconds between two rounds, and the first and the longest rest after one in which nothing could be sent.
ROUND_SECONDS, REST_SECONDS, LONGEST_REST = 10.0, 20.0, 600.0

#: Most steps and samples of one batch.
MOST_ROWS, MOST_PICTURES = 1000, 20

#: Most characters of a value of the configuration.
_MOST_TEXT = 500

_SHORT = {tag: name for name, tag in TAGS.items()}
_CLIPS = (".mp4", ".webm", ".gif")


class TrackerSender:
    """Sends to one tracker, in a thread of its own."""

    def __init__(
        self,
        tracker: Tracker,
        store: TrackerStore,
        attempts: AttemptStore,
        samples: TrainingSampleStore,
        storage_root: Path,
        clock: Clock,
        is_here: Callable[[], bool],
    ) -> None:
        """`is_here` returns whether this server observes the trainings."""
        self._tracker = tracker
        self._store = store
        self._attempts = attempts
        self._samples = samples
        self._storage_root = storage_root
        self._clock = clock
        self._is_here = is_here
        self._failure: str | None = None  #: why the tracker lacks something that it should have
        self._deletion: Reason | None = None  #: the last run that was found to be deleted
        self._deletion_shown_until = float("-inf")
        self._has_begun = False
        self._rests_until, self._rest = float("-inf"), REST_SECONDS
        self._failed_at: dict[str, float] = {}  #: the trainings that could not be sent; others come first
        self._refused_until: dict[str, float] = {}  #: those that failed while others did not
        self._thread = PeriodicThread(f"tracker-{tracker.name}", ROUND_SECONDS, self.run_once)

    @property
    def name(self) -> str:
        """The tracker's name in TRACKERS."""
        return self._tracker.name

    @property
    def problem(self) -> ReasonOrText | None:
        """Why the tracker lacks something that it should have. A deleted run is a problem once, for ten minutes."""
        if self._failure is None and self._clock.monotonic() < self._deletion_shown_until:
            return self._deletion
        return self._failure

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. The next server continues."""
        self._tracker.stop()
        self._thread.stop()

    def run_once(self) -> None:
        """Send what is new of every training."""
        if not self._is_here():
            self._failure = self._deletion = None  # the server that sends knows it
            return
        if self._clock.monotonic() < self._rests_until:
            return
        try:
            has_sent, failed = self._send_pending()
        except (DatabaseUnavailable, LeadershipLost):
            return
        problem = next(iter(failed.values()), None)
        if problem is None or has_sent:
            self._rest = REST_SECONDS
            self._refused_until |= dict.fromkeys(failed, self._clock.monotonic() + LONGEST_REST)
        else:
            self._rests_until = self._clock.monotonic() + self._rest
            self._rest = min(2 * self._rest, LONGEST_REST)
        # A training that was refused is not tried in each round.
        self._failure = problem or (self._failure if self._refused_until else None)
        if problem is not None:
            extra = {"tracker": self.name, "problem": problem}
            logger.warning("a tracker has not received everything", extra=extra)

    def _send_pending(self) -> tuple[bool, dict[str, str]]:
        """Return whether anything was sent, and the problem of each training that could not be."""
        has_sent, failed = False, dict[str, str]()
        pending = self._store.pending(self.name, self._clock.now(), with_deleted=not self._has_begun)
        self._has_begun = True
        # Those that were deleted meanwhile need nothing any more.
        self._refused_until = {each: until for each, until in self._refused_until.items() if each in pending}
        self._store.begin(self.name, pending)
        for task_id in self._in_turn(pending):
            try:
                self._send(task_id)
            except TaskNotFound:
                continue  # it was deleted meanwhile
            except (TrackerProblem, OSError) as error:
                failed[task_id] = str(error)
                self._failed_at[task_id] = self._clock.monotonic()
                if not has_sent:
                    break  # the tracker is probably unreachable
            else:
                has_sent = True
                self._failed_at.pop(task_id, None)
                self._refused_until.pop(task_id, None)
        return has_sent, failed

    def _abandon(self, task: TrainingTask, sent: Sent, answer: str) -> None:
        """Send nothing more of a training whose run was deleted. Its next attempt, or a restart, tries once more."""
        self._store.put(self.name, task.task_id, replace(sent, status=DELETED, attempts=task.attempts))
        if sent.status == DELETED:
            return
        self._deletion = Reason.of(
            "The run of {task_id} was deleted in {tracker}, so nothing more of it is sent. To continue the run, restore"
            " it there, then resume the training, or restart the service while it trains.",
            "tracker_run_deleted",
            task_id=task.task_id,
            tracker=self.name,
        )
        self._deletion_shown_until = self._clock.monotonic() + LONGEST_REST
        logger.warning("a run was deleted in its tracker", extra={"task_id": task.task_id, "problem": answer})

    def _in_turn(self, pending: list[str]) -> list[str]:
        now = self._clock.monotonic()
        ready = [each for each in pending if self._refused_until.get(each, 0.0) <= now]
        return sorted(ready, key=lambda each: self._failed_at.get(each, 0.0))

    def _send(self, task_id: str) -> None:
        task, attempts = self._attempts.with_task(task_id)
        sent = self._store.get(self._tracker.name, task_id)
        try:
            rows = self._tracker.open(_describe(task))
        except TrackedRunDeleted as error:
            self._abandon(task, sent, str(error))
            return
        if rows is not None and rows < sent.rows:
            # It was killed before its server had everything. Repeated rows have the same step.
            sent = replace(sent, steps={}, sample=0)
        if sent.status == DELETED:
            # It was restored.
            sent = replace(sent, status=None)
            self._store.put(self.name, task_id, sent)
        stretches = list_stretches(attempts)
        while True:
            batch, following = self._next_batch(task, stretches, sent)
            if following == sent:
                if not task.status.is_finished or (sent.status, sent.attempts) == (task.status, task.attempts):
                    return
                batch = Batch(status=str(task.status))
                following = replace(sent, status=str(task.status), attempts=task.attempts)
            else:
                # The run is open again until its end is sent.
                following = replace(following, status=None)
            rows = self._tracker.send(task_id, batch)
            sent = replace(following, rows=rows or 0)
            self._store.put(self._tracker.name, task_id, sent)

    def _next_batch(self, task: TrainingTask, stretches: list[Stretch], sent: Sent) -> tuple[Batch, Sent]:
        """Return the next rows and samples, and what the tracker has received with them."""
        # NumPy takes long to import, and only metrics need it.
        from api.training.series_views import list_tags, read_series  # noqa: PLC0415

        rows: dict[int, tuple[float, dict[str, float]]] = {}
        steps = dict(sent.steps)
        # The epoch loss is left out: its x axis is not the step.
        for tag in filter(lambda tag: tag != EPOCH_LOSS, list_tags(stretches)):
            records = read_series(stretches, tag)
            new = records[records["step"] > steps.get(tag, -1)][:MOST_ROWS]
            for step, value, at in new.tolist():
                rows.setdefault(step, (at, {}))[1][_SHORT.get(tag, tag)] = value
                steps[tag] = step
        found = self._samples.after(task.task_id, sent.sample, MOST_PICTURES)
        pictures = tuple(filter(None, map(self._picture, found)))
        last = found[-1].serial if found else sent.sample
        ordered = [(step, *rows[step]) for step in sorted(rows)]
        return Batch(ordered, pictures), replace(sent, steps=steps, sample=last)

    def _picture(self, sample: StoredSample) -> Picture | None:
        record = sample.record
        if record.file is None:
            return None
        path = task_files(self._storage_root, sample.sampling_id).output / PICTURES / record.file
        if not path.is_file():
            return None
        caption = (
            f"{record.checkpoint or 'base model'}, seed {record.seed}, strength {record.strength:g}: {sample.text}"
        )
        name = f"samples/{record.checkpoint or 'base'}-{record.prompt}"
        return Picture(name, str(path), caption[:_MOST_TEXT], path.suffix in _CLIPS)


def _describe(task: TrainingTask) -> TrackedTraining:
    """Return the data of a training for a tracker. Its stored settings contain no secrets."""
    config = {
        "task_id": task.task_id,
        "model_type": task.model_type,
        "description": task.description,
        "dataset_versions": [f"{each.dataset}@{each.version}" for each in task.plan.datasets] or None,
        "config": read_config(task.request),
        "dataset": read_dataset(task.request),
    }
    return TrackedTraining(task.task_id, task.name or task.task_id, dict(_flatten("", config)), task.tags)


def _flatten(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flatten(f"{name}/", value)
        elif isinstance(value, bool | int | float):
            yield name, value
        elif value is not None:
            yield name, mask_secrets(str(value))[:_MOST_TEXT]
