"""The server under test: at SMOKE_URL (make smoke URL=…), or a temporary one."""

import os
from collections.abc import Iterator

import pytest

from tests.e2e.training_server import TrainingServer
from tests.smoke.service import Service

#: URL of a running server; None starts one for these tests.
URL = os.environ.get("SMOKE_URL")

#: Key of a trainer or administrator, for servers that require keys.
KEY = None if URL is None else os.environ.get("DIFFUSION_PIPE_API_KEY")

#: Whether tests may start a training.
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
    with Service(address, KEY) as service:
        service.require()
        yield service


@pytest.fixture
def writing() -> None:
    if not MAY_WRITE:
        pytest.skip("this test starts a training: make smoke WRITE=1 allows it")
