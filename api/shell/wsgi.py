"""Flask below the event loop, by a2wsgi, without a round trip between the threads for each part of an answer."""

from a2wsgi.asgi_typing import SendEvent
from a2wsgi.wsgi import WSGIMiddleware, WSGIResponder
from starlette.types import Receive, Scope, Send

# An answer is three messages: its start, its body, its end. They are handed over at once; what an answer has beyond
# that waits for the event loop to take it, as every message does in a2wsgi. Must be below the responder's queue (10).
_AT_ONCE = 4


class _Responder(WSGIResponder):
    """Where a2wsgi blocks its thread until the event loop has taken each message, hands the first few over at once."""

    _handed_over = 0

    def send(self, message: SendEvent | None) -> None:
        if self._handed_over >= _AT_ONCE:
            super().send(message)
            return
        self._handed_over += 1
        # The loop runs what it is handed in order, and the queue has room for these.
        self.loop.call_soon_threadsafe(self.send_queue.put_nowait, message)


class FlaskBelow(WSGIMiddleware):
    """The ASGI side of a WSGI application; for HTTP only."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        await _Responder(self.app, self.executor, self.send_queue_size)(scope, receive, send)  # type: ignore[arg-type]
