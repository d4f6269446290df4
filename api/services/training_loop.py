"""The loop that all trainings of this machine depend on: one server process at a time runs it."""

import logging
from collections.abc import Callable

from api.errors import DatabaseUnavailable
from api.services.dispatcher import Dispatcher
from api.services.reconciler import Reconciler
from api.services.strays import Strays
from api.storage.file_lock import FileLock
from api.utils.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two rounds; a request wakes the loop at once.
ROUND_SECONDS = 0.5


class TrainingLoop:
    """Reconciles, then gives free GPUs away. A second server on the same storage waits until the first has ended."""

    def __init__(
        self,
        reconciler: Reconciler,
        dispatcher: Dispatcher,
        strays: Strays,
        has_work: Callable[[], bool],
        lock: FileLock,
    ) -> None:
        """`has_work` says cheaply whether a round would find anything to do."""
        self._reconciler = reconciler
        self._dispatcher = dispatcher
        self._strays = strays
        self._has_work = has_work
        self._lock = lock
        self._has_lock = False
        self._has_news = False
        self._is_failing = False
        self._thread = PeriodicThread("training", ROUND_SECONDS, self.run_once)

    def start(self) -> None:
        """Starts the loop; the first round takes up what ran before."""
        self._thread.start()

    def wake(self) -> None:
        """Makes it look at once."""
        self._has_news = True
        self._thread.trigger()

    def stop(self) -> None:
        """Ends the loop. Trainings go on."""
        if self._thread.stop(timeout=5.0):
            # Otherwise a round is still under way, and the lock goes with this process.
            self._lock.release()

    @property
    def is_here(self) -> bool:
        """Whether this server is the one that looks after the trainings."""
        return self._has_lock

    def run_once(self) -> None:
        """One round. Before the first the database is brought into line with what really runs."""
        if not self._lock.acquire():
            return
        if not self._has_lock:
            self._has_lock = True
            logger.info("this server looks after the trainings")
        try:
            # Before anything is given away: what lives may be more than what the database knows.
            self._strays.look()
            news, self._has_news = self._has_news, False
            if not news and not self._has_work():
                self._note_answer()
                return
            news |= self._reconciler.tick()
            if self._dispatcher.dispatch(news):
                # What was just claimed is started at once, and not a round later.
                self._reconciler.tick()
        except DatabaseUnavailable as error:
            if not self._is_failing:
                logger.warning("the database does not answer; trainings go on", extra={"problem": error.detail})
            self._is_failing = True
        else:
            self._note_answer()

    def _note_answer(self) -> None:
        if self._is_failing:
            logger.info("the database answers again")
        self._is_failing = False
