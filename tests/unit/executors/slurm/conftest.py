"""An empty cluster and its first attempt."""

from pathlib import Path

import pytest

from api.executors.executor import AttemptRef
from api.executors.slurm.fake import FakeCluster


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def ref(tmp_path: Path) -> AttemptRef:
    directory = tmp_path / "train_1" / "attempts" / "1"
    directory.parent.mkdir(parents=True)
    return AttemptRef("train_1.1", directory, tmp_path / "train_1" / "log")
