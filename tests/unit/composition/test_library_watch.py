import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.catalog.store import RegistryStore
from api.composition.composition import Runtime
from api.config import Config
from api.errors import DatabaseUnavailable

LOOPS = {
    "dataset-watch",
    "dataset-reader",
    "dataset-collector",
    "upload-items",
    "upload-archives-1",
    "upload-archives-2",
    "registry-collector",
}


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    runtime = Runtime(Config(gpu_source="simulated", log_level="ERROR", storage_root=tmp_path))
    runtime.prepare()
    yield runtime
    runtime.stop()


def _loops() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & LOOPS


def test_where_there_is_nothing_nothing_is_loaded(runtime: Runtime):
    runtime._library.look_once()
    assert runtime._library.library.built is None
    assert _loops() == set()


def test_what_lies_there_has_its_loops_started_once_and_they_end_with_the_service(runtime: Runtime):
    RegistryStore(runtime.database).ensure("cats", None, datetime.now(UTC))
    runtime._library.look_once()
    assert _loops() == LOOPS
    runtime.stop()
    assert _loops() == set()


def test_what_a_request_needs_has_its_loops_started_too(runtime: Runtime):
    assert runtime.services.datasets.owner_of is not None
    runtime._library.look_once()
    assert _loops() == LOOPS


def test_while_the_database_does_not_answer_nothing_is_loaded(runtime: Runtime, monkeypatch: pytest.MonkeyPatch):
    def fail() -> bool:
        raise DatabaseUnavailable

    monkeypatch.setattr(runtime._library._contents, "has_any", fail)
    runtime._library.look_once()
    assert runtime._library.library.built is None
