"""The HTTP interface of a node: its health and its metrics."""

import hmac
import logging
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope, Send

from api.errors import MethodNotAllowed, NotFound, ServiceError, Unauthenticated
from api.util.clock import Clock
from api.util.http.documents import DocumentTable
from api.util.http.envelope import encode_answer
from api.web.guard import HostPolicy, join_headers, request_id_of
from api.web.reply import NOSNIFF, ClientGone, Reply, UnreadResponses

logger = logging.getLogger(__name__)

METRICS = "/metrics"


class NodeShell:
    """The ASGI application of a node. It reads memory only, so no request waits."""

    def __init__(
        self,
        policy: HostPolicy,
        documents: Callable[[], DocumentTable],
        health: Callable[[], Any],
        ready: Callable[[], Any],
        clock: Clock,
        key: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`key` returns the bearer token that metrics require now, or None if they require none."""
        self._policy = policy
        self._documents = documents
        self._instant = {"/health": health, "/health/ready": ready}
        self._clock = clock
        self._key = key
        self.unread = UnreadResponses()  #: counts and bounds the bytes of responses that clients have not read

    def note_refusal(self, status: int, request_id: str, client: tuple[str, int] | None) -> None:
        """Log input that the HTTP parser rejected."""
        facts = {"status": status, "request_id": request_id, "client": None if client is None else client[0]}
        logger.info("rejected: not a valid HTTP request", extra=facts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._serve(scope, send)

    async def _serve(self, scope: Scope, send: Send) -> None:
        headers = dict(scope["headers"])
        reply = Reply(scope, send, request_id_of(headers), [NOSNIFF])
        try:
            await self._answer(scope, headers, reply)
        except ServiceError as error:
            await reply.fail(error)
        except ClientGone:
            return
        except Exception:
            logger.exception("request failed")
            await reply.fail(ServiceError())

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], reply: Reply) -> None:
        if len(headers) != len(scope["headers"]):
            headers.update(join_headers(scope["headers"]))
        self._policy.check(headers.get(b"host"), headers.get(b"origin"))
        path = scope["path"]
        if path not in self._instant and path != METRICS:
            raise NotFound("A node serves only /health and /metrics. Use its head for everything else.")
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(headers={"Allow": "GET, HEAD"})
        if path in self._instant:
            await reply.send_json(encode_answer(self._instant[path]()))
            return
        self._require_key(headers)
        await self.unread.wait_for_memory()
        document = self._documents().get(METRICS, headers.get(b"accept", b"").decode("latin-1"))
        if document is None:
            raise NotFound
        await reply.send_document(document, headers, self._clock.monotonic())

    def _require_key(self, headers: dict[bytes, bytes]) -> None:
        key, given = self._key(), headers.get(b"authorization", b"")
        if key is not None and not hmac.compare_digest(given, f"Bearer {key}".encode()):
            raise Unauthenticated("The metrics of a node require its own key: the one in NODE_KEY_FILE.")
