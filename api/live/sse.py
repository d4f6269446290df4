"""Snapshots as Server-Sent Events."""

from collections.abc import AsyncIterator, Callable

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from api.live.broker import Broker

HEARTBEAT_SECONDS = 15

#: Seconds that one message may take to be sent before the subscriber counts as gone.
SEND_SECONDS = 20


def create_gpu_stream(broker: Broker) -> Callable[[Request], Response]:
    """The endpoint of `/gpu/stream`: the latest snapshot at once, then each new one, and a comment as heartbeat."""

    def stream(request: Request) -> Response:
        response = EventSourceResponse(
            _events(broker),
            ping=HEARTBEAT_SECONDS,
            ping_message_factory=lambda: ServerSentEvent(comment="heartbeat"),
            send_timeout=SEND_SECONDS,
            sep="\n",
        )
        # Whether the connection is kept is the server's to say.
        del response.headers["Connection"]
        return response

    return stream


async def _events(broker: Broker) -> AsyncIterator[bytes]:
    with broker.subscribe() as subscription:
        seen = 0
        if broker.latest is not None:
            seen = broker.latest.number
            yield broker.latest.event
        while (message := await subscription.get()) is not None:
            if message.number > seen:
                yield message.event
        if subscription.has_lagged:
            raise TimeoutError("the subscriber has stopped reading")
