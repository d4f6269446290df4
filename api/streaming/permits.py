"""End streams whose access has ended: a key was revoked or has expired, or a session has ended."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from api.domain.access.principal import Principal
from api.errors import ServiceError
from api.streaming.frames import Frame, closing_frame
from api.streaming.models import StreamEnding

#: The last frame of a stream; without a result while the subscriber has access.
LastFrame = asyncio.Future[Frame]


class Permits:
    """The open streams and their principals. Lives in the event loop; `recheck` may be called from any thread."""

    def __init__(self, why_ended: Callable[[Principal], ServiceError | None]) -> None:
        """Create the registry. `why_ended` returns why an admitted principal has lost access; None if it has not."""
        self._why_ended = why_ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: dict[LastFrame, Principal] = {}

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop of the streams."""
        self._loop = loop

    @contextmanager
    def hold(self, principal: Principal) -> Iterator[LastFrame]:
        """Yield the future last frame of a stream that is open within the `with` block. Raises why access has ended."""
        last_frame: LastFrame = asyncio.get_running_loop().create_future()
        self._open[last_frame] = principal
        try:
            # Checked after registering: a later loss of access is found by `recheck`.
            error = self._why_ended(principal)
            if error is not None:
                raise error
            yield last_frame
        finally:
            del self._open[last_frame]

    def recheck(self) -> None:
        """End the streams of all principals that have lost access."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._check)

    def _check(self) -> None:
        for last_frame, principal in self._open.items():
            error = self._why_ended(principal)
            if error is not None and not last_frame.done():
                last_frame.set_result(closing_frame(StreamEnding.ACCESS_ENDED, code=error.code))
