"""Snapshots over a WebSocket."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

from starlette.websockets import WebSocket, WebSocketDisconnect

from api.errors import Unavailable
from api.live.broker import Broker, Subscription
from api.live.sse import HEARTBEAT_SECONDS, SEND_SECONDS
from api.utils.envelope import encode_json

logger = logging.getLogger(__name__)

# RFC 6455, 7.4.1, and the registry of close codes.
_GOING_AWAY = 1001
_TRY_AGAIN_LATER = 1013


def create_gpu_socket(broker: Broker) -> Callable[[WebSocket], Awaitable[None]]:
    """The endpoint of `/ws/gpu`: the latest snapshot at once, then each new one, and a heartbeat in silence."""

    async def serve(socket: WebSocket) -> None:
        # A client may be gone at any point, also before it is told that it is let in.
        with suppress(WebSocketDisconnect):
            await socket.accept()
            try:
                with broker.subscribe() as subscription:
                    await _serve(socket, broker, subscription)
            except Unavailable:
                await socket.close(_TRY_AGAIN_LATER)

    return serve


async def _serve(socket: WebSocket, broker: Broker, subscription: Subscription) -> None:
    sending = asyncio.create_task(_send(socket, broker, subscription))
    listening = asyncio.create_task(_listen(socket))
    try:
        done, _ = await asyncio.wait((sending, listening), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, listening):
            task.cancel()
        outcome, _ = await asyncio.gather(sending, listening, return_exceptions=True)
    if subscription.has_lagged or isinstance(outcome, TimeoutError):
        # No farewell to one who does not read; the server closes the connection, the kernel ends it.
        logger.info("subscriber dropped: it has stopped reading", extra={"client": str(socket.client)})
    elif listening not in done:
        await socket.close(_GOING_AWAY)


async def _send(socket: WebSocket, broker: Broker, subscription: Subscription) -> None:
    seen = 0
    if broker.latest is not None:
        seen = broker.latest.number
        await _send_one(socket, broker.latest.json)
    while True:
        try:
            message = await asyncio.wait_for(subscription.get(), HEARTBEAT_SECONDS)
        except TimeoutError:
            await _send_one(socket, encode_json({"type": "heartbeat", "timestamp": datetime.now(UTC)}))
            continue
        if message is None:
            return
        if message.number > seen:
            await _send_one(socket, message.json)


async def _send_one(socket: WebSocket, json: bytes) -> None:
    await asyncio.wait_for(socket.send_text(json.decode()), SEND_SECONDS)


async def _listen(socket: WebSocket) -> None:
    """Until the client goes; what it says is of no interest."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
