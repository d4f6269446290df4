"""The loop that observes and starts trainings. One server per storage observes, one per database starts."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from api.db.file_lock import FileLock
from api.db.leadership import Leadership, LeadershipLost
from api.errors import DatabaseUnavailable
from api.training.attempts.orphans import Orphans
from api.training.attempts.reconciler import Reconciler
from api.training.attempts.unwatched_attempts import UnwatchedAttempts
from api.training.queue.closures import Closures
from api.training.queue.dispatcher import Dispatcher
from api.training.queue.making_room import MakingRoom
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Interval of rounds in seconds. A request triggers a round immediately.
ROUND_SECONDS = 0.5


class ThreadOwner(Protocol):
    """A part with a thread of its own."""

    def start(self) -> None: ...
    def stop(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Leaderships:
    """The leaderships that a server needs to look after trainings. It must watch in order to lead."""

    watching: Leadership  #: over attempts of this machine and storage, whose processes and files only it sees
    leading: Leadership  #: over the queue of all servers on the database
    lock: FileLock  #: the storage's: its owner knows that the previous leader has ended


class TrainingLoop:
    """Reconciles attempts, then assigns free GPUs."""

    def __init__(
        self,
        reconciler: Reconciler,
        dispatcher: Dispatcher,
        orphans: Orphans,
        unwatched: UnwatchedAttempts,
        making_room: MakingRoom,
        closures: Closures,
        leaderships: Leaderships,
        beside: Sequence[ThreadOwner] = (),
    ) -> None:
        """Create the loop. The parts `beside` it run as long as it does."""
        self._beside = beside
        self._reconciler = reconciler
        self._dispatcher = dispatcher
        self._orphans = orphans
        self._unwatched = unwatched
        self._making_room = making_room
        self._closures = closures
        self._watching, self._leading, self._lock = leaderships.watching, leaderships.leading, leaderships.lock
        self._is_watching = False
        self._is_leading = False
        self._has_news = False
        self._is_failing = False
        self._thread = PeriodicThread("training", ROUND_SECONDS, self.run_once)

    def start(self) -> None:
        """Start the loop. The first round takes over attempts that already run."""
        for part in self._beside:
            part.start()
        self._thread.start()

    def wake(self) -> None:
        """Start the next round immediately."""
        self._has_news = True
        self._thread.trigger()

    def stop(self) -> None:
        """Stop the loop. Trainings continue."""
        for part in self._beside:
            part.stop()
        if self._thread.stop(timeout=5.0):
            # Otherwise a round is still running, and other servers detect the end of this process themselves.
            with suppress(DatabaseUnavailable):
                self._leading.release()
                self._watching.release()
            self._lock.release()

    @property
    def is_here(self) -> bool:
        """Whether this server observes the trainings."""
        return self._is_watching

    def run_once(self) -> None:
        """Make one round. The first one synchronises the database with the running attempts."""
        try:
            if self._watches():
                self._go_round(self._leads())
        except LeadershipLost:
            # Another server may have changed the attempts since. The next round determines again who observes them.
            self._stand_down()
        except DatabaseUnavailable as error:
            if not self._is_failing:
                logger.warning("the database is unavailable; trainings continue", extra={"problem": error.detail})
            self._is_failing = True
        else:
            if self._is_failing:
                logger.info("the database is available again")
            self._is_failing = False

    def _watches(self) -> bool:
        if not self._watching.hold():
            self._stand_down()
            return False
        if not self._is_watching:
            self._is_watching = True
            self._orphans.check_soon()
        return True

    def _leads(self) -> bool:
        leads = self._leading.hold()
        if leads is not self._is_leading:
            self._is_leading = leads
            logger.info("this server looks after the trainings" if leads else "another server manages the queue")
        return leads

    def _stand_down(self) -> None:
        if self._is_watching:
            logger.warning("another server observes the trainings now")
            self._is_watching = self._is_leading = False
            self._reconciler.stand_down()

    def _go_round(self, leads: bool) -> None:
        with self._watching.guarding():
            # Before GPUs are assigned: attempts may run that the database does not know.
            self._orphans.check()
        news, self._has_news = self._has_news, False
        if not (news or self._reconciler.has_work or self._dispatcher.has_work):
            return
        with self._watching.guarding():
            news |= self._reconciler.tick()
        if leads and self._serve_queue(news):
            # Start newly claimed attempts now instead of in the next round.
            with self._watching.guarding():
                self._reconciler.tick()

    def _serve_queue(self, news: bool) -> int:
        """Assign GPUs as the leader of the queue. Return the number of claimed tasks."""
        try:
            with self._leading.guarding():
                self._unwatched.check()
                closures = self._closures.read()
                news |= self._making_room.check(closures)
                return self._dispatcher.dispatch(news, closures)
        except LeadershipLost:
            # Another server may have changed the queue since. The next round determines its leader again.
            return 0
