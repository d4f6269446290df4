"""A fake machine for each test, read by one sweep in a child process or by a complete server."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.server import ServerProcess
from tests.nvml.full_gpus import full
from tests.nvml.probe import Probe
from tests.standin import StandIn, build, compiler

Serve = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The fake library, built once for all workers: `build` creates it atomically."""
    if compiler() is None:
        why = "no C compiler on PATH: the stand-in for libnvidia-ml.so.1 cannot be built"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    base = tmp_path_factory.getbasetemp()
    return build((base if worker_id == "master" else base.parent) / "libnvidia-ml")


@pytest.fixture
def machine(library: Path, tmp_path: Path) -> StandIn:
    """A machine without GPUs."""
    return StandIn(tmp_path / "machine", library)


@pytest.fixture
def serve(machine: StandIn, tmp_path: Path) -> Iterator[Serve]:
    """Starts a server on the machine; it stops with the test."""
    with ExitStack() as stack:

        def start(**settings: str) -> ServerProcess:
            directory = tmp_path / "server"
            directory.mkdir()
            environment = {"GPU_SOURCE": "nvml", **machine.environment(), **settings}
            return stack.enter_context(ServerProcess(directory, environment))

        yield start


@pytest.fixture(scope="module")
def lasting_machine(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A machine without GPUs for the tests of a module. Hanging calls are released at the end, so servers can stop."""
    machine = StandIn(tmp_path_factory.mktemp("lasting"), library)
    yield machine
    machine.restore()


@pytest.fixture(scope="module")
def lasting_serve(lasting_machine: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts a server on that machine, for tests that restore the machine."""
    with ExitStack() as stack:

        def start(**settings: str) -> ServerProcess:
            environment = {"GPU_SOURCE": "nvml", **lasting_machine.environment(), **settings}
            return stack.enter_context(ServerProcess(tmp_path_factory.mktemp("server"), environment))

        yield start
        lasting_machine.restore()


@pytest.fixture(scope="module")
def probe_machine(library: Path, tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """The machine of a module's probe."""
    return StandIn(tmp_path_factory.mktemp("probe"), library)


@pytest.fixture(scope="module")
def probe(probe_machine: StandIn) -> Iterator[Probe]:
    """A child process that reads all GPUs again for each request."""
    with Probe(probe_machine.environment()) as started:
        yield started


@pytest.fixture(scope="module")
def full_machine(probe_machine: StandIn) -> StandIn:
    """Two GPUs with every field set. Without error events, so a sweep does not wait for them."""
    for index in range(2):
        probe_machine.add_gpus(1, **full(index))
    return probe_machine


@pytest.fixture
def gpus(full_machine: StandIn) -> Iterator[StandIn]:
    """The same GPUs, restored before each test."""
    before = full(0)
    full_machine.restore()
    full_machine.fail("nvmlEventSetCreate", 3)
    yield full_machine
    with full_machine.together():
        full_machine.restore()
        for key, value in before.items():
            full_machine.set(0, key, value)
