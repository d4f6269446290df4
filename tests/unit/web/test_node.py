"""A node serves its health and metrics, and refers other requests to its head."""

import asyncio
from typing import Any
from unittest.mock import Mock

import orjson
import pytest
import uvicorn
from uvicorn.server import ServerState

from api.domain.machines.system import Health
from api.util.clock import FakeClock
from api.util.http.documents import Address, Document, DocumentTable
from api.web.guard import HostPolicy
from api.web.node import NodeShell
from api.web.protocol import HTTPProtocol

TABLE = DocumentTable({"/metrics": Address("/metrics", lambda: Document(b"up 1\n", "text/plain"))})


def shell_of(key: str | None = None) -> NodeShell:
    health = Health("ok", "1", 1)
    return NodeShell(HostPolicy(["localhost"]), lambda: TABLE, lambda: health, lambda: health, FakeClock(), lambda: key)


def ask(path: str, method: str = "GET", key: str | None = None, **headers: str) -> tuple[int, bytes]:
    shell = shell_of(key)
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"host": "localhost", **headers}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    asyncio.run(shell(scope, lambda: None, send))  # type: ignore[arg-type]
    return sent[0]["status"], sent[1]["body"]


def test_health_and_metrics_are_served():
    assert orjson.loads(ask("/health")[1])["data"]["status"] == "ok"
    assert ask("/metrics") == (200, b"up 1\n")


@pytest.mark.parametrize("path", ["/", "/docs", "/api/v1/gpu/status", "/api/v1/nodes", "/openapi.json"])
def test_there_is_no_page_queue_or_public_api(path: str):
    status, body = ask(path)
    assert (status, orjson.loads(body)["error"]["code"]) == (404, "not_found")


def test_other_methods_and_hosts_are_refused():
    assert ask("/metrics", method="POST")[0] == 405
    assert ask("/metrics", host="evil.example")[0] == 403


@pytest.mark.parametrize(("given", "status"), [("Bearer dp_1", 200), ("Bearer dp_2", 401), ("", 401)])
def test_metrics_require_the_nodes_own_key(given: str, status: int):
    assert ask("/metrics", key="dp_1", authorization=given)[0] == status
    assert ask("/health", key="dp_1")[0] == 200


def test_node_serves_and_ends_connections_like_a_head():
    async def play() -> None:
        shell, transport = shell_of(), Mock()
        transport.get_extra_info.return_value, transport.get_write_buffer_size.return_value = None, 7
        config = uvicorn.Config(shell, log_config=None, access_log=False)
        config.load()
        protocol = HTTPProtocol(config, ServerState(), {})
        protocol.connection_made(transport)
        protocol.pause_writing()
        assert shell.unread.count(0.0) == 7
        protocol.data_received(b"this is no request\r\n\r\n")
        assert transport.write.call_args.args[0].startswith(b"HTTP/1.1 400 ")
        protocol.connection_lost(None)
        assert not shell.unread._held

    asyncio.run(play())
