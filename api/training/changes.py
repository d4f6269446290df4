"""Change tasks: their fields, their position in the queue, their automatic samples, and the chosen model."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from api.domain.samples.sample_set import RequestedSamples, SampleOrder
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskStatus
from api.errors import CheckpointNotFound, Conflict, Invalid
from api.training.check import OptionsCheck
from api.training.details import TrainingDetails
from api.training.output.artifacts import saved_models
from api.training.output.written import TrainingOutput
from api.training.queue.forecast import QueueForecast
from api.training.records.task_store import NewSamples, TaskStore
from api.training.views import TaskDetails
from api.util.clock import Clock

#: An index behind every line of tasks.
MAX_LINE = 2**31

#: Fields of a task that decide when its turn is.
_OF_ORDER = frozenset({"priority", "priority_class", "not_before"})


class TrainingChanges:
    """Changes tasks that exist. `wake` triggers the training loop immediately."""

    def __init__(
        self,
        tasks: TaskStore,
        options: OptionsCheck,
        output: TrainingOutput,
        forecast: QueueForecast,
        details: TrainingDetails,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._tasks = tasks
        self._options = options
        self._output = output
        self._forecast = forecast
        self._details = details
        self._clock = clock
        self._wake = wake

    def patch(
        self,
        task_id: str,
        changes: Mapping[str, Any],
        actor: str,
        position: str | int | None = None,
        samples: tuple[bool, RequestedSamples | None] = (False, None),
    ) -> TaskDetails:
        """Change the fields that can change at any time, the position in the queue or the automatic samples.

        `samples` has whether they change, and the new ones. Raise TaskNotFound, Invalid for samples, or TaskNotQueued
        for a position.
        """
        index = None if position is None else self._index_in_line(task_id, changes, position)
        new = NewSamples(self._check_samples(task_id, samples[1], changes)) if samples[0] else None
        task = self._tasks.patch(task_id, changes, self._clock.now(), actor, index, new)
        if task.status is TaskStatus.QUEUED and (position is not None or not _OF_ORDER.isdisjoint(changes)):
            self._forecast.forget()
            self._wake()
        return self._details.show_changed(task)

    def _check_samples(
        self, task_id: str, requested: RequestedSamples | None, changes: Mapping[str, Any]
    ) -> SampleOrder | None:
        """Return the new automatic samples of a training that gets these changes, too.

        Raise TaskNotFound, Conflict or Invalid.
        """
        task = self._tasks.get(task_id)
        if requested is None:
            return None
        if task.kind is not TaskType.TRAINING:
            raise Conflict(f"{task_id} is no training, so it saves no models to render.")
        trigger_word = changes.get("trigger_word", task.trigger_word)
        request = replace(task.request, samples=requested, trigger_word=trigger_word)
        order, mistakes = self._options.check_samples(request, task.plan, self._details.find_order(task_id))
        if mistakes:
            raise Invalid(mistakes=mistakes)
        return order

    def _index_in_line(self, task_id: str, changes: Mapping[str, Any], position: str | int) -> int:
        """Return the index in the line that it will be in whose turn is at or before this position.

        A line has the tasks of one owner with equal class and priority.
        """
        if isinstance(position, str):
            return 0 if position == "first" else MAX_LINE
        task = self._tasks.get_summary(task_id)
        changed = replace(task, **{name: value for name, value in changes.items() if name in _OF_ORDER})
        line = (task.owner, changed.level)
        waiting = [other for other in self._tasks.queued() if (other.owner, other.level) == line]
        forecasts = [self._forecast.of(other) for other in waiting]
        turns = sorted(found.position for found in forecasts if found is not None)
        if changed.level != task.level:
            # It joins the line, which does not contain it yet.
            return bisect_left(turns, position)
        return max(bisect_right(turns, position) - 1, 0)

    def choose(self, task_id: str, name: str | None, actor: str) -> TaskDetails:
        """Store which saved model is the chosen one; None: no model is. Raise TaskNotFound or CheckpointNotFound."""

        def verify() -> None:
            saved = saved_models(self._output.files(task_id).output)
            if name is not None and name not in saved:
                raise CheckpointNotFound(f"{task_id} has no saved model {name!r}.", data={"checkpoints": list(saved)})

        task = self._tasks.choose(task_id, name, self._clock.now(), actor, verify)
        return self._details.show_changed(task)
