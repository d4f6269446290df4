"""A client for the whole application in process: requests through httpx, streams and WebSockets as ASGI."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from typing import Any, TypeVar

import httpx

from api.web.shell import Shell

T = TypeVar("T")
Message = dict[str, Any]

SECONDS = 20.0


#: References that match no GPU.
ANONYMOUS = ["-1", "999999999999", "abc", "%2e%2e", "00", "0x0", "None", "1.0", "%20", "GPU-", "x" * 5000, "é", "0%00"]


class Client:
    """Sends requests to one application, in one event loop."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._shown: dict[str, str] = {}
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(self._with_state, raise_app_exceptions=False, client=("127.0.0.1", 50_000))
        # httpx would add a User-Agent and accept gzip; a test sets its own headers.
        self._http = httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers={"Accept-Encoding": "identity"}
        )

    async def _with_state(self, scope: Message, receive: Any, send: Any) -> None:
        # uvicorn gives every request a state; httpx does not.
        await self._shell({**scope, "state": {}}, receive, send)

    def showing(self, headers: dict[str, str]) -> "Client":
        """Return the same client with these headers added to every request."""
        other = copy(self)
        other._shown = headers
        return other

    def close(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.run(self.send(method, path, **options))

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {**self._shown, **(options.pop("headers", None) or {})}
        return await self._http.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("POST", path, **options)

    def patch(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("PATCH", path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("DELETE", path, **options)

    def data(self, path: str, **options: Any) -> Any:
        answer = self.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def raw(self, method: str, path: str, headers: list[tuple[bytes, bytes]], query: bytes = b"") -> httpx.Response:
        """Send a request with exactly these headers, unchanged by httpx."""
        return self.run(self._raw(method, path, headers, query))

    async def _raw(self, method: str, path: str, headers: list[tuple[bytes, bytes]], query: bytes) -> httpx.Response:
        async with self.connection(scope("http", path, headers, method=method, query_string=query)) as talk:
            await talk.send_message({"type": "http.request", "body": b"", "more_body": False})
            start = await talk.next_message()
            body = b""
            while (part := await talk.next_message())["type"] == "http.response.body":
                body += part.get("body", b"")
                if not part.get("more_body"):
                    break
        return httpx.Response(start["status"], headers=start["headers"], content=body)

    @asynccontextmanager
    async def connection(self, scope_: Message) -> AsyncIterator["Connection"]:
        """Open one ASGI call whose messages the test exchanges itself."""
        talk = Connection()
        serving = asyncio.create_task(self._shell(scope_, talk.receive, talk.send))
        try:
            yield talk
        finally:
            await talk.send_message(
                {"type": "websocket.disconnect" if scope_["type"] == "websocket" else "http.disconnect"}
            )
            try:
                await asyncio.wait_for(serving, SECONDS)
            finally:
                serving.cancel()

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Run the lifespan, which gives the broker its event loop."""
        talk = Connection()
        serving = asyncio.create_task(self._shell({"type": "lifespan"}, talk.receive, talk.send))
        await talk.send_message({"type": "lifespan.startup"})
        assert (await talk.next_message())["type"] == "lifespan.startup.complete"
        try:
            yield
        finally:
            await talk.send_message({"type": "lifespan.shutdown"})
            await asyncio.wait_for(serving, SECONDS)


class Connection:
    """Both directions of one ASGI call."""

    def __init__(self) -> None:
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self.receive = self._to_app.get
        self.send = self._from_app.put

    async def send_message(self, message: Message) -> None:
        await self._to_app.put(message)

    async def next_message(self) -> Message:
        return await asyncio.wait_for(self._from_app.get(), SECONDS)


def scope(type_: str, path: str, headers: list[tuple[bytes, bytes]] | None = None, **changes: Any) -> Message:
    """Return an ASGI scope like that of uvicorn."""
    usual = {
        "type": type_,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "ws" if type_ == "websocket" else "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")] if headers is None else headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
        "state": {},
        "extensions": {"websocket.http.response": {}} if type_ == "websocket" else {},
        "subprotocols": [],
    }
    if type_ == "http":
        usual["method"] = "GET"
    return {**usual, **changes}


@contextmanager
def client_of(shell: Shell) -> Iterator[Client]:
    client = Client(shell)
    try:
        yield client
    finally:
        client.close()


def failure_of(answer: httpx.Response) -> dict[str, Any]:
    """Return the envelope of a failure after checking that it is complete."""
    envelope = json.loads(answer.content)
    assert set(envelope) == {"code", "message", "data", "timestamp", "error"}
    assert envelope["code"] == answer.status_code >= 400
    assert set(envelope["error"]) == {"code", "detail", "errors", "request_id"}
    assert envelope["error"]["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    return envelope
