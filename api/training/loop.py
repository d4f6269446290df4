"""The loop that all trainings of this machine depend on: of all servers on a storage one runs it, of all on a database
one gives GPUs away.
"""

import logging
from collections.abc import Callable
from contextlib import suppress

from api.db.file_lock import FileLock
from api.db.leadership import Leadership, LeadershipLost
from api.errors import DatabaseUnavailable
from api.training.attempts.reconciler import Reconciler
from api.training.attempts.strays import Strays
from api.training.attempts.unwatched_attempts import UnwatchedAttempts
from api.training.dispatcher import Dispatcher
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two rounds; a request wakes the loop at once.
ROUND_SECONDS = 0.5


#: Seconds between two looks at a cluster, besides those at the attempts.
LOOK_SECONDS = 2.0


class TrainingLoop:
    """Reconciles, then gives free GPUs away.

    `watching` is about the attempts of this machine and storage: only here their processes and files can be seen.
    `leading` is about the queue, which all servers on the database share; who does not watch does not lead.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        dispatcher: Dispatcher,
        strays: Strays,
        unwatched: UnwatchedAttempts,
        has_work: Callable[[], bool],
        watching: Leadership,
        leading: Leadership,
        lock: FileLock,
        look: Callable[[], None] | None = None,
    ) -> None:
        """`has_work` says cheaply whether a round would find anything to do. `lock` is that of the storage: who can
        have it knows that whoever led with it has ended. `look` looks at the cluster, for as long as this is started.
        """
        self._look = None if look is None else PeriodicThread("cluster", LOOK_SECONDS, look)
        self._reconciler = reconciler
        self._dispatcher = dispatcher
        self._strays = strays
        self._unwatched = unwatched
        self._has_work = has_work
        self._watching = watching
        self._leading = leading
        self._lock = lock
        self._is_watching = False
        self._is_leading = False
        self._has_news = False
        self._is_failing = False
        self._thread = PeriodicThread("training", ROUND_SECONDS, self.run_once)

    def start(self) -> None:
        """Starts the loop; the first round takes up what ran before."""
        if self._look is not None:
            self._look.start()
        self._thread.start()

    def wake(self) -> None:
        """Has the next round begin at once."""
        self._has_news = True
        self._thread.trigger()

    def stop(self) -> None:
        """Ends the loop. Trainings go on."""
        if self._look is not None:
            self._look.stop()
        if self._thread.stop(timeout=5.0):
            # Otherwise a round is still under way, and others find out by themselves that this process has ended.
            with suppress(DatabaseUnavailable):
                self._leading.release()
                self._watching.release()
            self._lock.release()

    @property
    def is_here(self) -> bool:
        """Whether this server is the one that looks after the trainings."""
        return self._is_watching

    def run_once(self) -> None:
        """Makes one round. Before the first one it brings the database into line with what really runs."""
        try:
            if self._watches():
                self._go_round(self._leads())
        except LeadershipLost:
            # What others have done since is not known here; the next round asks who leads.
            self._stand_down()
        except DatabaseUnavailable as error:
            if not self._is_failing:
                logger.warning("the database does not answer; trainings go on", extra={"problem": error.detail})
            self._is_failing = True
        else:
            self._note_answer()

    def _watches(self) -> bool:
        if not self._watching.hold():
            self._stand_down()
            return False
        if not self._is_watching:
            self._is_watching = True
            self._strays.look_soon()
        return True

    def _leads(self) -> bool:
        leads = self._leading.hold()
        if leads is not self._is_leading:
            self._is_leading = leads
            logger.info("this server looks after the trainings" if leads else "another server has the queue")
        return leads

    def _stand_down(self) -> None:
        if self._is_watching:
            logger.warning("another server looks after the trainings now")
            self._is_watching = self._is_leading = False
            self._reconciler.stand_down()

    def _go_round(self, leads: bool) -> None:
        with self._watching.guarding():
            # Before anything is given away: what lives may be more than what the database knows.
            self._strays.look()
        news, self._has_news = self._has_news, False
        if not (news or self._reconciler.has_work or self._has_work()):
            return
        with self._watching.guarding():
            news |= self._reconciler.tick()
        if not leads:
            return
        with self._leading.guarding():
            self._unwatched.look()
            claimed = self._dispatcher.dispatch(news)
        if claimed:
            # What was just claimed is started at once, and not a round later.
            with self._watching.guarding():
                self._reconciler.tick()

    def _note_answer(self) -> None:
        if self._is_failing:
            logger.info("the database answers again")
        self._is_failing = False
