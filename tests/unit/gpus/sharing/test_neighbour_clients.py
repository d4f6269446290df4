"""The clients of neighbours: what they ask, and that nothing in an answer breaks them."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.gpus.sharing import neighbour_clients
from api.gpus.sharing.neighbour import Activity, NeighbourState
from api.gpus.sharing.neighbour_clients import ComfyNeighbour, OllamaNeighbour
from api.gpus.sources.host import is_here
from api.util.http.bounded_answers import TimedTransport
from tests.patience import BUSY_SECONDS

MIB = 2**20


def answering(answers: dict[str, Any], asked: list[tuple[str, Any]]) -> httpx.MockTransport:
    def handle(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        asked.append((request.url.path, body))
        return httpx.Response(200, json=answers.get(request.url.path))

    return httpx.MockTransport(handle)


def model(name: str, until: str, mb: int = 5000) -> dict[str, Any]:
    return {"model": name, "size_vram": mb * MIB, "expires_at": until}


def test_used_ollama_is_busy_and_frees_each_model() -> None:
    answers, asked = {"/api/ps": {"models": [model("a", "10:05")]}}, list[tuple[str, Any]]()
    ollama = OllamaNeighbour("http://127.0.0.1:11434", answering(answers, asked))
    assert ollama.state() == NeighbourState(Activity.IDLE, 5000)
    answers["/api/ps"] = {"models": [model("a", "10:06"), model("b", "10:06", 1000)]}
    assert ollama.state() == NeighbourState(Activity.BUSY, 6000)
    assert ollama.state() == NeighbourState(Activity.IDLE, 6000)
    ollama.free()
    assert asked[-2:] == [("/api/generate", {"model": name, "keep_alive": 0}) for name in "ab"]
    # Asking moves the times, and is no use.
    answers["/api/ps"] = {"models": [model("a", "10:07")]}
    assert ollama.state() == NeighbourState(Activity.IDLE, 5000)


def comfy(stats: Any, queue: Any) -> NeighbourState | None:
    answers = {"/system_stats": stats, "/queue": queue}
    return ComfyNeighbour("http://127.0.0.1:8188", answering(answers, [])).state()


def test_comfyui_is_busy_with_prompts_of_others_only() -> None:
    stats = {"devices": [{"name": "cuda:0 X", "type": "cuda", "vram_total": 9 * MIB, "vram_free": 2 * MIB}]}
    own, other = [1, "p", {}, {"client_id": "p"}, []], [2, "q", {}, {"client_id": "page"}, []]
    found = [comfy(stats, {"queue_running": each}) for each in ([], [own], [own, other], [[]])]
    assert [each and each.activity for each in found] == ["idle", "own", "busy", "busy"]
    assert found[0] == NeighbourState(Activity.IDLE, 7, ("cuda:0 X",))


@pytest.mark.parametrize("answer", [None, [], {"devices": {}}, {"models": 1}, {"devices": [{"vram_total": 2**60}]}])
def test_unexpected_answers_count_as_none(answer: Any) -> None:
    assert comfy(answer, {"queue_running": 1}) is None
    transport = answering({"/api/ps": answer if answer is None or isinstance(answer, list) else {"models": 1}}, [])
    assert OllamaNeighbour("http://127.0.0.1:1", transport).state() is None


def test_answer_with_too_many_values_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = {"queue_running": [[]] * 20}
    assert comfy({}, queue) is not None
    monkeypatch.setattr(neighbour_clients, "_MOST_COMMAS", 10)
    assert comfy({}, queue) is None


def test_redirects_are_not_followed() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(302, headers={"Location": "http://10.0.0.1/"}))
    assert ComfyNeighbour("http://127.0.0.1:8188", transport).state() is None


@pytest.mark.parametrize("kind", [ComfyNeighbour, OllamaNeighbour])
def test_hung_neighbour_costs_bounded_time(
    kind: Callable[..., ComfyNeighbour | OllamaNeighbour], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour_clients, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hung = kind(f"http://127.0.0.1:{silent.getsockname()[1]}", TimedTransport(most_bytes=1000))
        began = time.monotonic()
        assert hung.state() is None
        hung.free()
        assert time.monotonic() - began < 1 + BUSY_SECONDS


def test_only_addresses_of_this_machine_are_here() -> None:
    urls = ["http://localhost:1", "http://127.0.0.1", "http://[::1]:8188", "http://192.0.2.7:8188"]
    assert list(map(is_here, urls)) == [True, True, True, False]
