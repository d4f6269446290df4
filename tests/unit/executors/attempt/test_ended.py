import json
import os
from pathlib import Path

import pytest

from api.executors.attempt.ended import has_ended, has_outcome
from api.executors.attempt.processes import boot_id, read_stat
from api.executors.attempt.small_files import write_json


def myself() -> dict[str, object]:
    stat = read_stat(os.getpid())
    assert stat is not None
    return {"pid": stat.pid, "start": stat.start}


def outcome(directory: Path, **fields: object) -> None:
    write_json(str(directory / "exit.json"), {"reason": "exited", "exit_code": 0, "fence": 1, **fields})


def test_outcome_beside_a_living_trainer_is_ignored(tmp_path: Path) -> None:
    write_json(str(tmp_path / "runner.json"), {"boot_id": boot_id(), "trainer": myself(), "fence": 1})
    outcome(tmp_path)
    assert has_outcome(str(tmp_path))
    assert not has_ended(str(tmp_path))


@pytest.mark.parametrize("keeper", ["runner.json", "fence"])
def test_outcome_with_an_earlier_fence_is_ignored(tmp_path: Path, keeper: str) -> None:
    (tmp_path / keeper).write_text(json.dumps({"fence": 2}) if keeper == "runner.json" else f"{2:020d}\n")
    outcome(tmp_path, fence=1)
    assert not has_ended(str(tmp_path))
    outcome(tmp_path, fence=2)
    assert has_ended(str(tmp_path))
