"""A simulated server for tests that need no special one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.server import ServerProcess

Start = Callable[..., ServerProcess]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run one server for the tests of a module that leave it unchanged."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers that end with the test."""
    with ExitStack() as stack:

        def start_one(*arguments: str, **settings: str) -> ServerProcess:
            directory = tmp_path / f"server-{len(list(tmp_path.iterdir()))}"
            directory.mkdir()
            return stack.enter_context(ServerProcess(directory, settings, arguments))

        yield start_one
