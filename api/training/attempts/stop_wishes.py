"""Stops that the database cannot take up: a stop needs neither a disk nor a database to be carried out."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from api.domain.audit import note_change
from api.domain.reason import Reason, Words
from api.domain.training import StopState, TaskStatus, TrainingTask
from api.errors import DatabaseUnavailable, StorageFull
from api.files.disk import DiskReserve
from api.training.attempts.watch import AttemptWatch

logger = logging.getLogger(__name__)


ASKED = Reason.of("asked to stop with a checkpoint", "asked_to_stop")
ASKED_AT_ONCE = Reason.of("asked to stop without a checkpoint", "asked_to_stop_at_once")


@dataclass(frozen=True, slots=True)
class Wish:
    """A stop that is being carried out, and that the database does not know of yet."""

    stop: StopState
    message: Words
    problem: str


class StopCarrier(Protocol):
    """What carries a stop out."""

    def find_watch(self, task_id: str) -> AttemptWatch | None: ...
    def stop_now(self, watch: AttemptWatch, stop: StopState) -> None: ...


class StopWishes:
    """Keeps wishes in memory until the database takes them. The order to the supervisor outlives this service; a wish
    does not.
    """

    def __init__(self, reserve: DiskReserve) -> None:
        self._reserve = reserve
        self._wishes: dict[str, Wish] = {}

    def record(
        self, write: Callable[[], object], task_id: str, wish: Wish, stopping: StopCarrier
    ) -> AttemptWatch | None:
        """Writes a stop down by `write`, with the reserve's room if the disk is full, and returns None. If that fails,
        the order is passed on at once, the wish is kept, and the watch over the attempt is returned.

        Raises what `write` raises, and its DatabaseUnavailable where nobody here watches over the attempt, or where a
        gentle stop meets a database that is merely away: that may be asked for again.
        """
        try:
            try:
                write()
            except StorageFull:
                self._reserve.give_up()
                write()
        except DatabaseUnavailable as error:
            watch = stopping.find_watch(task_id)
            if watch is None or not (wish.stop.force or isinstance(error, StorageFull)):
                raise
            self._pass_on(watch, wish.stop, stopping)
            self._wishes[task_id] = replace(wish, problem=error.detail)
            note_change(about=task_id, after={"force": wish.stop.force, "timeout_seconds": wish.stop.timeout_seconds})
            logger.warning("a stop is carried out, and cannot be noted yet", extra={"task_id": task_id})
            return watch
        return None

    def _pass_on(self, watch: AttemptWatch, stop: StopState, stopping: StopCarrier) -> None:
        try:
            stopping.stop_now(watch, stop)
        except OSError as first:
            self._reserve.give_up()
            try:
                stopping.stop_now(watch, stop)
            except OSError:
                raise StorageFull(f"The order to stop cannot be written ({first.strerror}).") from first

    def note(self, write: Callable[[str, Wish], object]) -> None:
        """Hands each wish to `write`, and forgets it. Raises DatabaseUnavailable while that cannot be done."""
        for task_id, wish in list(self._wishes.items()):
            write(task_id, wish)
            self._wishes.pop(task_id, None)

    def show(self, task: TrainingTask) -> TrainingTask:
        """The task as it is with a wish that the database does not know yet."""
        wish = self._wishes.get(task.task_id)
        if wish is None or task.status.is_finished:
            return task
        warning = Reason.of(
            "the stop is carried out, and will be noted when the database can be written: {why}",
            "stop_not_noted",
            why=wish.problem,
        )
        return replace(
            task, status=TaskStatus.STOPPING, stop=wish.stop, warning=warning.text, warning_code=warning.said
        )
