"""Hooks and fixtures for tests of every kind."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from api.util.clock import FakeClock
from tests.compiled_statements import share_compiled_statements
from tests.faults import faults as faults  # noqa: PLC0414 - a fixture for all
from tests.ordering import for_workers
from tests.tiers import begin, mark_tiers

# Machines differ in speed and load, so the duration of an example proves nothing.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

share_compiled_statements()

# Collected tests live until the end: the garbage collector need not scan them again and again.
gc.disable()

# No test cuts the power: the kernel's buffers outlive every kill.
os.fsync = os.fdatasync = lambda fd: None

# A shell ignores Ctrl-C for its background processes, and every process of a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return three workers for two cores where tests compute, or two per core where they mostly wait."""
    cores = len(os.sched_getaffinity(0))
    return min(8, max(2, cores * 3 // 2 if config.getoption("markexpr") == "quick" else cores * 2))


@pytest.hookimpl(tryfirst=True, specname="pytest_collection_modifyitems")
def pytest_mark_tiers(items: list[pytest.Item]) -> None:
    """Mark the tiers before pytest deselects by marker."""
    mark_tiers(items)


def pytest_runtest_setup(item: pytest.Item) -> None:
    begin(item)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put slow tests first, in each worker's part.

    Tests of complete servers wait for processes and browsers, and those on PostgreSQL for its server; these share the
    cores with others. A test that fails is retried once, and the summary names it.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        for item in items:
            if item.nodeid.startswith("tests/e2e/") or "[postgresql" in item.nodeid:
                item.add_marker(pytest.mark.flaky(reruns=1))
        items[:] = for_workers(items, workers, lambda item: item.nodeid.partition("::")[0])


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _umask_stays() -> Iterator[None]:
    """A command that a test calls in its own process sets the umask of the service."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
