"""The only kind of thread in this service: a named loop with an owner, and a body that tests can call directly."""

import logging
import re
import threading
import time
from collections.abc import Callable

from api.errors import DatabaseUnavailable
from api.util.measures import loop_rounds

logger = logging.getLogger(__name__)

#: The suffix that distinguishes loops of one kind. A series for each would mean hundreds on a machine with many GPUs.
_NUMBER = re.compile(r"-\d+$")


class PeriodicThread:
    """Runs `body` every `interval` seconds, or only on `trigger()` if the interval is None.

    A failing body is logged, and the loop continues. The thread is a daemon, because a body that hangs in a driver call
    can neither be stopped nor waited for.
    """

    def __init__(self, name: str, interval: float | None, body: Callable[[], None], rest: float = 0.0) -> None:
        """Create the thread.

        `rest` is the minimum number of seconds between two runs. The first of many triggers is handled immediately, the
        others together.
        """
        self.name = name
        self._measured_as = (_NUMBER.sub("", name),)
        self._rest = rest
        self._interval = interval
        self._body = body
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the loop. The first run of an interval loop is immediate."""
        if self._thread is not None:
            raise RuntimeError(f"{self.name} was already started")
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def trigger(self) -> None:
        """Run the body as soon as possible, without waiting for the interval."""
        self._wake.set()

    def stop(self, timeout: float = 2.0) -> bool:
        """Stop the loop and wait for it. Return False if it still runs after `timeout` seconds."""
        self._stopping.set()
        self._wake.set()
        if self._thread is None or self._thread is threading.current_thread():
            return True
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.warning("thread did not stop in time", extra={"thread_name": self.name, "timeout_seconds": timeout})
            return False
        return True

    def _run(self) -> None:
        due = time.monotonic()
        rested = float("-inf")
        while not self._stopping.is_set():
            if self._interval is None:
                self._wake.wait()
            else:
                self._wake.wait(max(0.0, due - time.monotonic()))
            if self._rest:
                # Waited here and not right after a run, so that a run without a successor costs one wake-up instead of
                # two.
                self._stopping.wait(max(0.0, rested - time.monotonic()))
            self._wake.clear()
            if self._stopping.is_set():
                return
            now = time.monotonic()
            if now >= due:
                # A late run shifts the schedule instead of causing a burst of runs; a triggered run does not.
                due = now + (self._interval or 0.0)
            try:
                self._body()
            except DatabaseUnavailable as error:
                logger.warning(
                    "a loop cannot run: the database is unavailable",
                    extra={"thread_name": self.name, "problem": str(error)},
                )
            except Exception:
                logger.exception("loop body failed", extra={"thread_name": self.name})
            finally:
                ended = time.monotonic()
                rested = ended + self._rest
                loop_rounds.observe(ended - now, self._measured_as)


class LoopOwner:
    """A base class of parts that run one loop: it starts and stops the loop."""

    _thread: PeriodicThread
    _stop_seconds = 2.0  #: how long a stop waits for the running body, which a file system or receiver may delay

    def start(self) -> None:
        """Start the loop."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the loop. A body that still runs after `_stop_seconds` is abandoned."""
        self._thread.stop(self._stop_seconds)
