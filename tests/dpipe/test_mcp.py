"""The MCP server against a real service, by the SDK's own client, on stdio and over HTTP."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dpipe.conftest import HOSTILE, make_key
from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.own_service import end_process, free_port
from tests.patience import BUSY_SECONDS

mcp = pytest.importorskip("mcp", reason="the SDK of MCP is not installed: make install-dev")
httpx2 = pytest.importorskip("httpx2")
streamable_http = pytest.importorskip("mcp.client.streamable_http")
mcp_server = pytest.importorskip("dpipe.mcp_server")

SOURCE = Path(__file__).parents[2] / "dpipe" / "src"
TOOLS = {
    "list_gpus",
    "plan_training",
    "start_training",
    "stop_training",
    "get_progress",
    "list_trainings",
    "search_logs",
    "show_samples",
    "compare_trainings",
}
LONG_TOY = toy(30_000, step_seconds=0.1)


def environment(server: TrainingServer, key: str, **more: str) -> dict[str, str]:
    url = f"http://127.0.0.1:{server.port}"
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "DPIPE_URL": url, "DPIPE_KEY": key, "PYTHONPATH": path, **more}


COMMAND = [sys.executable, "-c", "import sys; from dpipe.cli import main; sys.exit(main())", "mcp"]


@asynccontextmanager
async def in_process(server: TrainingServer, key: str) -> AsyncIterator[Any]:
    """A client of an MCP server in this process."""
    url = f"http://127.0.0.1:{server.port}"
    async with (
        mcp_server.AsyncClient(url, key, agent="mcp") as service,
        mcp.Client(mcp_server.build(service)) as client,
    ):
        yield client


@contextmanager
def http_server(server: TrainingServer, key: str) -> Iterator[str]:
    """A `dpipe mcp --http` process with the bearer token "secret"; returns its address."""
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "--http", "--port", str(port)], env=environment(server, key, DPIPE_MCP_TOKEN="secret")
    )
    address = f"http://127.0.0.1:{port}/mcp"
    try:
        until(lambda: process.poll() is not None or answers(address), what="the MCP server")
        assert process.poll() is None
        yield address
    finally:
        end_process(process)


def answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False).status_code == 401
    except httpx.TransportError:
        return False


def data_of(result: Any) -> Any:
    """Return what is in the frame of an answer."""
    assert not result.is_error, result.content
    return framed(result)["data"]


def framed(result: Any) -> Any:
    text = next(each.text for each in reversed(result.content) if each.type == "text")
    found = re.fullmatch(r'Data between the two lines "(data-[0-9a-f]{16})"\..*\n\1\n(.*)\n\1', text, re.DOTALL)
    assert found is not None, text
    return json.loads(found[2])


def token_of(result: Any) -> str:
    """Return the token in the server's own words, which are outside of the frame."""
    found = re.search(r'confirm="([^"]+)"', result.content[0].text)
    assert found is not None, result.content
    return found[1]


def refusal(result: Any) -> str:
    assert result.is_error
    return " ".join(each.text for each in result.content)


@asynccontextmanager
async def over_http(address: str, mode: str) -> AsyncIterator[Any]:
    """A client over HTTP. With the mode "legacy" it has a session."""
    headers = {"Authorization": "Bearer secret"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http:
        transport = streamable_http.streamable_http_client(address, http_client=http)
        async with mcp.Client(transport, mode=mode) as client:
            yield client


async def start(client: Any, request: dict[str, Any]) -> str:
    """Start a training by both calls, and return its id."""
    shown = await client.call_tool("start_training", {"request": request})
    assert data_of(shown)["valid"]
    confirmed = {"request": request, "confirm": token_of(shown)}
    started = await client.call_tool("start_training", confirmed)
    assert "not a valid token" in refusal(await client.call_tool("start_training", confirmed))
    return str(data_of(started)["task_id"])


async def stop(client: Any, task_id: str) -> None:
    shown = await client.call_tool("stop_training", {"training_id": task_id, "save": False})
    assert "loses all steps" in shown.content[0].text
    confirmed = {"training_id": task_id, "confirm": token_of(shown)}
    assert "not a valid token" in refusal(await client.call_tool("stop_training", confirmed))
    assert data_of(await client.call_tool("stop_training", {**confirmed, "save": False}))["task_id"] == task_id


@pytest.mark.slow
def test_every_tool_and_resource_on_stdio(server: TrainingServer, trainer: str, training: str):
    async def play() -> str:
        parameters = mcp.StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=environment(server, trainer))
        async with mcp.Client(parameters) as client:
            tools = {each.name: each for each in (await client.list_tools()).tools}
            assert set(tools) == TOOLS
            changing = {name for name, each in tools.items() if not each.annotations.read_only_hint}
            assert changing == {"start_training", "stop_training"}

            async def call(name: str, **arguments: Any) -> Any:
                return data_of(await client.call_tool(name, arguments))

            assert len((await call("list_gpus"))["gpus"]) == 50
            assert (await call("plan_training", request=LONG_TOY))["plan"]["total_steps"] == 30_000
            assert (await call("get_progress", training_id=training))["progress"]["current_step"] == 20
            assert training in [each["task_id"] for each in (await call("list_trainings"))["trainings"]]
            assert (await call("search_logs", text="COMPLETE", training_id=training))["complete"]
            found = await call("search_logs", text="TRAINING C.*E", regex=True)
            assert training in [each["task_id"] for each in found["lines"]]
            shown = await client.call_tool("show_samples", {"training_id": training})
            pictures = [each for each in shown.content if each.type == "image"]
            assert len(pictures) == len(data_of(shown)["samples"]) == 2
            assert {each.mime_type for each in pictures} == {"image/jpeg"}
            task_id = await start(client, LONG_TOY)
            series = (await call("compare_trainings", training_ids=[training, task_id]))["series"]
            assert len(series[0]["points"]) == 20
            await stop(client, task_id)

            assert [str(each.uri) for each in (await client.list_resources()).resources] == [
                "dpipe://configuration",
                "dpipe://glossary",
            ]
            for uri, part in {
                "dpipe://configuration": "- flux",
                "dpipe://configuration/flux": "dpipe://configuration/flux/config.optimizer",
                "dpipe://configuration/flux/config.optimizer": '"name": "lr"',
                "dpipe://glossary": "| task |",
            }.items():
                assert part in (await client.read_resource(uri)).contents[0].text
            with pytest.raises(mcp.MCPError):
                await client.read_resource("dpipe://configuration/none")
            return task_id

    task_id = asyncio.run(play())
    server.await_status(task_id, "stopped")
    rows = until(lambda: server.get("/auth/audit", params={"object": task_id, "actor": "agent-of-trainer"})["entries"])
    assert {(each["operation"].rpartition("/")[2], each["via"]) for each in rows} == {("start", "mcp"), ("stop", "mcp")}


@pytest.mark.slow
def test_http_needs_the_token_a_known_host_and_its_own_session(server: TrainingServer, trainer: str):
    async def play(address: str) -> None:
        async with over_http(address, "auto") as client:
            assert {each.name for each in (await client.list_tools()).tools} == TOOLS
        async with over_http(address, "legacy") as one, over_http(address, "legacy") as other:
            token = token_of(await one.call_tool("start_training", {"request": LONG_TOY}))
            confirmed = {"request": LONG_TOY, "confirm": token}
            assert "not a valid token" in refusal(await other.call_tool("start_training", confirmed))
            await stop(one, data_of(await one.call_tool("start_training", confirmed))["task_id"])

    with http_server(server, trainer) as address, httpx.Client(trust_env=False) as client:
        good = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
        for headers, status in (
            ({"Authorization": "Bearer wrong"}, 401),
            ({**good, "Host": "evil.example"}, 421),
            ({**good, "Origin": "http://evil.example"}, 403),
        ):
            assert client.post(address, json={}, headers=headers).status_code == status
        asyncio.run(play(address))


@pytest.mark.slow
def test_hostile_texts_are_framed_and_confirm_nothing(server: TrainingServer, trainer: str, training: str):
    async def play() -> None:
        async with in_process(server, trainer) as client:
            hits = await client.call_tool("search_logs", {"text": "Ignore all", "training_id": training})
            samples = await client.call_tool("show_samples", {"training_id": training})
            seen = HOSTILE.replace("\u202e", "\\u202e")
            assert [each["message"] for each in data_of(hits)["lines"]] == [seen]
            assert {each["prompt"] for each in data_of(samples)["samples"]} == {seen}
            token_of(await client.call_tool("start_training", {"request": LONG_TOY}))
            for name, arguments in (
                ("stop_training", {"training_id": training}),
                ("start_training", {"request": LONG_TOY}),
            ):
                assert "not a valid token" in refusal(await client.call_tool(name, {**arguments, "confirm": "aaaa"}))
            # An id is not a path.
            assert refusal(await client.call_tool("get_progress", {"training_id": "../auth/keys"}))

    before = server.task_ids()
    asyncio.run(play())
    assert server.task_ids() == before


@pytest.mark.slow
def test_key_without_the_permission_starts_nothing(server: TrainingServer):
    async def play() -> None:
        async with in_process(server, make_key(server, "viewer")) as client:
            shown = await client.call_tool("start_training", {"request": LONG_TOY})
            if not shown.is_error:
                shown = await client.call_tool("start_training", {"request": LONG_TOY, "confirm": token_of(shown)})
            assert shown.is_error
            assert framed(shown)["data"]["code"] == "forbidden"

    before = server.task_ids()
    asyncio.run(play())
    assert server.task_ids() == before


def test_unreachable_service_is_reported():
    async def play() -> None:
        address = f"http://127.0.0.1:{free_port()}"
        async with (
            mcp_server.AsyncClient(address, retries=0) as service,
            mcp.Client(mcp_server.build(service)) as client,
        ):
            assert "unreachable" in refusal(await client.call_tool("list_gpus"))

    asyncio.run(play())


def test_interrupted_server_ends_while_its_client_stays():
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}) + "\n"
    path = os.pathsep.join([str(SOURCE), *sys.path])
    pipe = subprocess.PIPE
    with subprocess.Popen(
        COMMAND, stdin=pipe, stdout=pipe, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(message)
        process.stdin.flush()
        assert '"serverInfo"' in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(BUSY_SECONDS) == -signal.SIGINT
        finally:
            process.kill()


def test_token_is_for_one_call_and_five_minutes():
    now = [0.0]
    confirmations = mcp_server.Confirmations(lambda: now[0])
    token = confirmations.offer("start", "session", {"a": 1})
    confirmations.check(token, "start", "session", {"a": 1})
    for call in (("stop", "session", {"a": 1}), ("start", "other", {"a": 1}), ("start", "session", {"a": 2})):
        with pytest.raises(mcp_server.ToolError):
            confirmations.check(token, *call)
    now[0] = 301.0
    with pytest.raises(mcp_server.ToolError):
        confirmations.check(token, "start", "session", {"a": 1})


def test_invisible_characters_become_escapes():
    text = mcp_server.answer("a\ufe01b\U000e0141c\U000e0041d\u202ee 漢字 🐈").content[0].text
    assert r"a\\ufe01b\\U000e0141c\\U000e0041d\\u202ee 漢字 🐈" in text


@pytest.mark.parametrize(
    "value", [["x" * 9_000] * 900, {str(n): "é" * 5_000 for n in range(1_000)}, [[["y" * 99] * 20] * 99] * 20]
)
def test_answer_is_bounded_and_says_what_was_cut(value: Any):
    text = mcp_server.answer(value).content[0].text
    assert len(text) < mcp_server.MAX_CHARACTERS + 1_000
    assert '"cut":[' in text or "more characters" in text
