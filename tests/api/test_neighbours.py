"""ComfyUI on the GPU of a training: who waits, who frees memory, and what is reported."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.domain.machines.reading import GPUProcess, ProcessKind
from api.gpus.sharing.neighbour import FakeNeighbour
from api.gpus.sources.source import FakeSource
from api.training.queue.neighbour_rule import Neighbours, _Watch
from api.util.clock import FakeClock
from tests.api.conftest import MakeWorld, World
from tests.api.test_schedule import leave
from tests.comfyui_server import ComfyServer, comfy_server

#: Seconds after which the processes of GPUs are read again.
LATER = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with comfy_server(tmp_path_factory.mktemp("loras")) as comfy:
        yield comfy


class Shared:
    """A server whose GPU 0 has a ComfyUI."""

    def __init__(self, world: World, comfy: ComfyServer, source: FakeSource, clock: FakeClock) -> None:
        self.world, self.comfy, self.source, self.clock = world, comfy, source, clock

    @property
    def neighbours(self) -> Neighbours:
        return self.world.runtime._training.neighbours

    def holds(self, mb: int) -> None:
        """Let ComfyUI hold this much memory. It runs in the process of the tests."""
        self.comfy.vram_mb = self.comfy.vram_mb[0], mb
        self.source.set_memory(0, mb)
        process = GPUProcess(os.getpid(), ProcessKind.COMPUTE, mb, "ada", "python main.py", None, None, None)
        self.source.processes[0] = (process,)
        self.clock.advance(LATER)
        self.world.sweep()

    def look(self) -> None:
        """Make a round over the neighbours, then one of the training loop."""
        self.neighbours.run_once()
        self.world.train()

    def waits(self, task_id: str) -> str:
        """Return why a queued training waits, by code and text."""
        task = self.world.get(task_id)
        assert task["status"] == "queued", task["status"]
        return f"{task['waiting_reason_code']['code']}: {task['waiting_reason']}"

    def prompts(self, client_id: str | None = "a user") -> None:
        """Let ComfyUI have a prompt of this client; None: no prompt."""
        self.comfy.running = [] if client_id is None else [[1, "p-1", {}, {"client_id": client_id}, []]]


@pytest.fixture
def share(make_world: MakeWorld, server: ComfyServer, source: FakeSource, clock: FakeClock) -> Any:
    def make(**settings: Any) -> Shared:
        server.restart()
        server.frees, server.lies = 0, {}
        return Shared(make_world(source, clock=clock, comfyui_url=server.url, **settings), server, source, clock)

    return make


def test_idle_neighbour_is_asked_to_free_its_memory_before_a_training(share: Any) -> None:
    on = share()
    on.holds(9000)
    on.look()
    assert on.comfy.frees == 0
    task_id = on.world.start(gpu_ids=[0])
    on.world.train()
    on.look()
    on.look()
    assert on.comfy.frees == 1
    assert "neighbour: ComfyUI" in on.waits(task_id)
    assert "asked to free its memory, it still holds 9,000 MB" in on.waits(task_id)
    on.holds(400)
    on.look()
    assert on.world.get(task_id)["status"] == "starting"
    assert on.comfy.frees == 1


def test_what_a_neighbour_still_holds_is_reported(share: Any) -> None:
    on = share()
    on.holds(400)
    task_id = on.world.start(gpu_ids=[0])
    on.world.train()
    on.look()
    on.world.end(on.world.run(task_id))
    on.clock.advance(LATER)
    on.world.free_gpus()
    gpu = on.world.client.data("/api/v1/gpu/0")
    assert (gpu["status"], gpu["status_reason_code"]["code"]) == ("available", "neighbour_rest")
    assert "still holds 400 MB" in gpu["status_reason"]


def test_neighbour_that_frees_nothing_is_named_and_the_training_waits(share: Any) -> None:
    on = share()
    on.holds(20_000)
    task_id = on.world.start(gpu_ids=[0])
    other = on.world.start(gpu_ids=[1])
    on.world.train()
    assert on.world.get(other)["status"] == "starting"
    for _ in range(20):
        on.clock.advance(LATER)
        on.world.sweep()
        on.look()
    assert "still holds 20,000 MB" in on.waits(task_id)
    assert on.comfy.frees in range(2, 6)


@pytest.mark.parametrize("lie", ["nonsense", '{"devices": 5}', "[]", '{"devices": [{"vram_free": -1}]}'])
def test_lying_neighbour_does_not_stop_a_training(share: Any, lie: str) -> None:
    on = share()
    on.comfy.lies = {"/system_stats": lie, "/queue": lie}
    on.holds(500)
    task_id = on.world.start(gpu_ids=[0])
    on.world.train()
    on.look()
    assert on.world.get(task_id)["status"] == "starting"


def test_training_waits_for_a_busy_neighbour_until_it_is_idle(share: Any) -> None:
    on = share(neighbour_idle_minutes=3)
    on.holds(9000)
    on.prompts()
    task_id = on.world.start(gpu_ids=[0])
    on.world.train()
    on.look()
    assert "claimed until" in on.waits(task_id)
    (claim,) = on.world.client.data("/api/v1/gpu/0")["claims"]
    assert claim["name"].startswith("ComfyUI 127.0.0.1:")
    on.prompts(None)
    on.clock.advance(100)
    on.look()
    assert on.comfy.frees == 0
    on.clock.advance(100)
    on.world.sweep()
    on.look()
    on.look()
    assert on.comfy.frees == 1
    on.holds(300)
    on.look()
    assert on.world.get(task_id)["status"] == "starting"


def test_training_leaves_a_busy_neighbour_that_is_first(share: Any) -> None:
    on = share(neighbour_rule="neighbour_first")
    task_id = on.world.run(gpu_ids=[0])
    on.holds(400)
    on.prompts("p-1")
    on.look()
    assert on.world.get(task_id)["status"] == "running"
    on.prompts()
    on.look()
    leave(on.world, task_id, on.clock)
    for _ in range(20):
        on.clock.advance(60)
        on.look()
    assert on.waits(task_id).startswith("neighbour: ")
    on.prompts(None)
    on.look()
    on.clock.advance(301)
    on.world.sweep()
    on.look()
    on.look()
    assert on.world.get(task_id)["status"] == "starting"


def test_neighbour_is_left_alone_where_trainings_wait(share: Any) -> None:
    on = share(neighbour_rule="training_waits")
    on.holds(9000)
    task_id = on.world.start(gpu_ids=[0])
    on.world.train()
    asked = len(on.comfy.asked)
    on.look()
    assert "it holds 9,000 MB" in on.waits(task_id)
    assert (on.comfy.frees, len(on.comfy.asked)) == (0, asked)


def test_neighbour_of_another_gpu_is_not_asked(share: Any) -> None:
    on = share()
    on.holds(9000)
    for _ in range(2):
        on.world.start(gpu_ids=[1])
    on.world.train()
    on.look()
    assert on.comfy.frees == 0


def test_two_neighbours_share_a_gpu(share: Any) -> None:
    on = share()
    other = FakeNeighbour("Ollama 127.0.0.1:11434", command="ollama")
    on.neighbours._watches.append(_Watch(other))
    on.holds(300)
    runner = GPUProcess(999_999, ProcessKind.COMPUTE, 6000, "bob", "/bin/ollama runner", None, None, None)
    on.source.processes[0] += (runner,)
    on.clock.advance(LATER)
    on.world.sweep()
    task_id = on.world.start(gpu_ids=[0])
    on.world.train()
    on.look()
    assert "Ollama 127.0.0.1:11434 uses GPU 0: asked to free its memory, it still holds 6,000 MB" in on.waits(task_id)
    assert (on.comfy.frees, other.frees) == (1, 1)
    on.holds(300)
    on.look()
    assert on.world.get(task_id)["status"] == "starting"


def test_absent_neighbour_does_not_stop_a_training(
    make_world: MakeWorld, source: FakeSource, clock: FakeClock, tmp_path: Path
) -> None:
    with comfy_server(tmp_path / "loras") as comfy:
        pass
    on = Shared(make_world(source, clock=clock, comfyui_url=comfy.url), comfy, source, clock)
    task_id = on.world.start(gpu_ids=[0])
    on.look()
    assert on.world.get(task_id)["status"] == "starting"


def test_program_with_the_command_of_an_absent_neighbour_keeps_its_gpu(
    make_world: MakeWorld, source: FakeSource, clock: FakeClock, tmp_path: Path
) -> None:
    with comfy_server(tmp_path / "loras") as comfy:
        pass
    on = Shared(make_world(source, clock=clock, comfyui_url=comfy.url), comfy, source, clock)
    on.holds(1500)
    task_id = on.world.start(gpu_ids=[0])
    on.world.train()
    for _ in range(3):
        on.clock.advance(LATER)
        on.world.sweep()
        on.look()
    assert on.world.get(task_id)["status"] == "queued"
