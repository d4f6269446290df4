"""A Slurm cluster for the tests of a module, and executors on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.executors.local import LocalExecutor
from api.executors.slurm.client import SlurmClient
from api.executors.slurm.executor import SlurmExecutor
from tests.slurm_cluster import SlurmCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    with SlurmCluster(tmp_path_factory.mktemp("slurm") / "cluster") as made:
        yield made


@pytest.fixture
def client(cluster: SlurmCluster) -> Iterator[SlurmClient]:
    made = SlurmClient(cluster.url, cluster.token_file)
    yield made
    made.close()


@pytest.fixture
def make_executor(cluster: SlurmCluster, client: SlurmClient) -> Callable[[], SlurmExecutor]:
    """Create an executor as a newly started server has it."""
    return lambda: SlurmExecutor(client, LocalExecutor(node="head"), "test", settle_seconds=1.0)


@pytest.fixture
def executor(make_executor: Callable[[], SlurmExecutor]) -> SlurmExecutor:
    return make_executor()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path
