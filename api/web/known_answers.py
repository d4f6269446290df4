"""Keeps the last answers from the database, for the time in which it gives none."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

#: The most answers, bytes of all answers, and bytes of one.
ANSWERS, TOTAL_BYTES, ANSWER_BYTES = 200, 8 * 1024 * 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """The body of a success, and when (by the monotonic clock) it was asked for."""

    body: bytes
    asked_at: float


class KnownAnswers:
    """The latest answers by address: by whom it was asked, and for what.

    A change makes it forget all, so that nobody misses what they have written.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, KnownAnswer] = OrderedDict()
        self._bytes = 0
        self._changes = 0

    @property
    def changes(self) -> int:
        """How often it has forgotten everything."""
        return self._changes

    def keep(self, address: Hashable, answer: KnownAnswer, changes: int) -> None:
        """Keeps an answer, unless there was a change since it was begun, when there were so many `changes`."""
        with self._lock:
            self._drop(address)
            if changes != self._changes or len(answer.body) > ANSWER_BYTES:
                return
            self._answers[address] = answer
            self._bytes += len(answer.body)
            while len(self._answers) > ANSWERS or self._bytes > TOTAL_BYTES:
                self._drop(next(iter(self._answers)))

    def get(self, address: Hashable) -> KnownAnswer | None:
        """The latest answer at this address; None when none is known."""
        with self._lock:
            return self._answers.get(address)

    def forget_all(self) -> None:
        """Forgets all answers, as something was changed."""
        with self._lock:
            self._changes += 1
            self._answers.clear()
            self._bytes = 0

    def _drop(self, address: Hashable) -> None:
        dropped = self._answers.pop(address, None)
        if dropped is not None:
            self._bytes -= len(dropped.body)
