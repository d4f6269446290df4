"""Ends streams whose subscriber may no longer have them: a key was revoked or expired, a sign-in has ended."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from api.domain.access import Principal
from api.errors import ServiceError
from api.streaming.frames import Frame, closing_frame
from api.streaming.models import StreamEnding

#: The last frame of a stream; without a result as long as its subscriber may have it.
Farewell = asyncio.Future[Frame]


class Permits:
    """Who has which stream open. Lives in the event loop; `look_again` may be called from any thread."""

    def __init__(self, why_ended: Callable[[Principal], ServiceError | None]) -> None:
        """`why_ended` says why a principal that was let in would not be let in so any more; None while it would."""
        self._why_ended = why_ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: dict[Farewell, Principal] = {}

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sets the event loop that the streams live in."""
        self._loop = loop

    @contextmanager
    def hold(self, principal: Principal) -> Iterator[Farewell]:
        """The farewell of a stream that is open within the `with` block. Raises why there is none to be opened."""
        farewell: Farewell = asyncio.get_running_loop().create_future()
        self._open[farewell] = principal
        try:
            # Only now: whatever ended since the principal was looked at was told to those who hold.
            why = self._why_ended(principal)
            if why is not None:
                raise why
            yield farewell
        finally:
            del self._open[farewell]

    def look_again(self) -> None:
        """Ends the streams of everybody who would not be let in any more."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        for farewell, principal in self._open.items():
            why = self._why_ended(principal)
            if why is not None and not farewell.done():
                farewell.set_result(closing_frame(StreamEnding.ACCESS_ENDED, code=why.code))
