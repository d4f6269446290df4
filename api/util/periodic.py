"""The one kind of thread of this service: a named loop with an owner and a body that tests call themselves."""

import logging
import re
import threading
import time
from collections.abc import Callable

from api.errors import DatabaseUnavailable
from api.util.measures import loop_rounds

logger = logging.getLogger(__name__)

#: What tells loops of one kind apart; with a series each, a machine of many GPUs would have hundreds.
_NUMBER = re.compile(r"-\d+$")


class PeriodicThread:
    """Runs `body` every `interval` seconds, or only on `trigger()` when the interval is None.

    A body that fails is logged and the loop goes on. The thread is a daemon, because a body that is stuck in a
    driver call can be neither stopped nor waited for.
    """

    def __init__(self, name: str, interval: float | None, body: Callable[[], None], rest: float = 0.0) -> None:
        """`rest`: seconds after a run in which none is begun, so that of many triggers the first is heeded at once and
        the others together.
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
        """Starts the loop; the first run of an interval loop is at once."""
        if self._thread is not None:
            raise RuntimeError(f"{self.name} was started before")
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def trigger(self) -> None:
        """Runs the body as soon as possible, without waiting for the interval."""
        self._wake.set()

    def stop(self, timeout: float = 2.0) -> bool:
        """Ends the loop and waits for it; False when it is still running after `timeout` seconds."""
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
                # Now and not right after the run: a run that nothing follows costs one wake-up and not two.
                self._stopping.wait(max(0.0, rested - time.monotonic()))
            self._wake.clear()
            if self._stopping.is_set():
                return
            now = time.monotonic()
            if now >= due:
                # A late run moves the beat instead of being followed by a burst of runs; a triggered one leaves it.
                due = now + (self._interval or 0.0)
            try:
                self._body()
            except DatabaseUnavailable as error:
                logger.warning("a loop waits for the database", extra={"thread_name": self.name, "problem": str(error)})
            except Exception:
                logger.exception("loop body failed", extra={"thread_name": self.name})
            finally:
                ended = time.monotonic()
                rested = ended + self._rest
                loop_rounds.observe(ended - now, self._measured_as)
