"""A stand-in machine for each test, and the two ways to look at it: one sweep in a child, or a whole server."""

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
    """The stand-in library, built once for all workers: `build` puts it there as a whole."""
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
    """Starts a server that sees the machine; it ends with the test."""
    with ExitStack() as stack:

        def start(**settings: str) -> ServerProcess:
            directory = tmp_path / "server"
            directory.mkdir()
            environment = {"GPU_SOURCE": "nvml", **machine.environment(), **settings}
            return stack.enter_context(ServerProcess(directory, environment))

        yield start


@pytest.fixture(scope="module")
def lasting_machine(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A machine without GPUs for the tests of a module; what hangs at the end is let go, so that servers can end."""
    machine = StandIn(tmp_path_factory.mktemp("lasting"), library)
    yield machine
    machine.restore()


@pytest.fixture(scope="module")
def lasting_serve(lasting_machine: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts a server that sees that machine, for tests that bring the machine back to what it was."""
    with ExitStack() as stack:

        def start(**settings: str) -> ServerProcess:
            environment = {"GPU_SOURCE": "nvml", **lasting_machine.environment(), **settings}
            return stack.enter_context(ServerProcess(tmp_path_factory.mktemp("server"), environment))

        yield start
        lasting_machine.restore()


@pytest.fixture(scope="module")
def probe_machine(library: Path, tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """The machine that a module's probe looks at."""
    return StandIn(tmp_path_factory.mktemp("probe"), library)


@pytest.fixture(scope="module")
def probe(probe_machine: StandIn) -> Iterator[Probe]:
    """A child process that reads all GPUs anew each time it is asked."""
    with Probe(probe_machine.environment()) as started:
        yield started


@pytest.fixture(scope="module")
def whole(probe_machine: StandIn) -> StandIn:
    """Two GPUs with every field set. Errors are not listened for, so that a sweep costs no waiting."""
    for index in range(2):
        probe_machine.add_gpus(1, **full(index))
    return probe_machine


@pytest.fixture
def gpus(whole: StandIn) -> Iterator[StandIn]:
    """They again, as they were before whatever a test does to the first of them."""
    before = full(0)
    whole.restore()
    whole.fail("nvmlEventSetCreate", 3)
    yield whole
    with whole.together():
        whole.restore()
        for key, value in before.items():
            whole.set(0, key, value)
