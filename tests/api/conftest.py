from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import run
from api.config import Config
from api.hardware.source import FakeSource
from api.runtime import Runtime
from api.services.gpu_service import GPUService
from tests.api.client import Client, client_of


@dataclass(frozen=True)
class World:
    """One server without its threads: a test sweeps when it wants to."""

    runtime: Runtime
    client: Client

    @property
    def gpus(self) -> GPUService:
        return self.runtime.services.gpus

    def sweep(self) -> None:
        self.gpus._monitor.sweep()


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MakeWorld]:
    """Servers by their settings, on simulated GPUs or on the source that is given."""
    with ExitStack() as stack:

        def make(source: FakeSource | None = None, serves_documents: bool = True, **settings: Any) -> World:
            defaults = {"gpu_source": "simulated", "log_level": "WARNING", "storage_root": tmp_path / "storage"}
            config = Config(**{**defaults, "min_free_disk_mb": 0, **settings})
            with monkeypatch.context() as patched:
                if source is not None:
                    patched.setattr("api.runtime.create_source", lambda config, clock: source)
                runtime = Runtime(config)
            runtime.prepare()
            stack.callback(runtime.stop)
            client = stack.enter_context(client_of(run.create_shell(runtime, serves_documents)))
            world = World(runtime, client)
            world.sweep()
            return world

        yield make


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


@pytest.fixture
def client(world: World) -> Client:
    return world.client


@pytest.fixture
def source() -> FakeSource:
    return FakeSource(count=4)


@pytest.fixture
def fake_world(make_world: MakeWorld, source: FakeSource) -> World:
    return make_world(source)
