"""Minimal servers for comparison: `python -m benchmarks.peers KIND BODY_FILE`."""

import argparse
import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import uvicorn
import uvloop
from a2wsgi import WSGIMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def main() -> None:
    """Serve the body of a file with one kind of server until the process is terminated."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("kind", choices=sorted(_KINDS))
    parser.add_argument("body", type=Path, help="the file whose content is the answer")
    parser.add_argument("--encoding", help="its Content-Encoding")
    parser.add_argument("--threads", type=int, default=8, help="threads for Flask (default: 8)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    _KINDS[arguments.kind](listener, arguments.body.read_bytes(), arguments)


def _serve_starlette(listener: socket.socket, body: bytes, options: argparse.Namespace) -> None:
    headers = {} if options.encoding is None else {"content-encoding": options.encoding}

    async def constant(request: Request) -> Response:
        return Response(body, media_type="application/json", headers=headers)

    _run(Starlette(routes=[Route("/", constant)]), listener)


def _serve_flask(listener: socket.socket, body: bytes, options: argparse.Namespace) -> None:
    app = flask.Flask(__name__)

    @app.get("/")
    def constant() -> flask.Response:
        return flask.Response(body, content_type="application/json")

    _run(WSGIMiddleware(app, workers=options.threads), listener)  # type: ignore[arg-type]


def _run(app: Any, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


class _Subscriber(asyncio.Protocol):
    """A bare connection for writing."""

    def __init__(self, subscribers: set[asyncio.WriteTransport]) -> None:
        self._subscribers = subscribers

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._transport not in self._subscribers:
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            self._subscribers.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._subscribers.discard(self._transport)


def _serve_events(listener: socket.socket, body: bytes, options: argparse.Namespace) -> None:
    async def serve() -> None:
        subscribers: set[asyncio.WriteTransport] = set()
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: _Subscriber(subscribers), sock=listener, backlog=2048)
        number = 0
        while True:
            await asyncio.sleep(1)
            number += 1
            event = b"id: %d\ndata: %b\n\n" % (number, body)
            for transport in subscribers:
                transport.write(event)

    uvloop.run(serve())


_KINDS: dict[str, Callable[[socket.socket, bytes, argparse.Namespace], None]] = {
    "starlette": _serve_starlette,
    "flask": _serve_flask,
    "events": _serve_events,
}

if __name__ == "__main__":
    main()
