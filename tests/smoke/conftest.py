"""The server that is asked: at SMOKE_URL (make smoke URL=…), or one that is started for these tests alone."""

import os
from collections.abc import Iterator

import pytest

from tests.e2e.training_server import TrainingServer
from tests.smoke.service import Service

#: Where `make smoke` looks when it is told nothing.
URL = os.environ.get("SMOKE_URL")

#: What it is shown, where it asks for keys: that of a trainer, or of an administrator.
KEY = None if URL is None else os.environ.get("DIFFUSION_PIPE_API_KEY")

#: Whether a training may be started there.
MAY_WRITE = URL is None or os.environ.get("WRITE") == "1"


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if URL is not None:
        yield URL if "://" in URL else f"http://{URL}"
        return
    with TrainingServer(tmp_path_factory.mktemp("smoke")) as server:
        yield str(server.client.base_url)


@pytest.fixture(scope="session")
def service(address: str) -> Iterator[Service]:
    with Service(address, KEY) as asked:
        asked.require()
        yield asked


@pytest.fixture
def writing() -> None:
    if not MAY_WRITE:
        pytest.skip("it would start a training: make smoke WRITE=1 allows it")
