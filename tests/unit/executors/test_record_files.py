import json
import os
from pathlib import Path

import pytest

from api.executors.record_files import read_lost_bytes, read_outcome
from tests.unit.util.foreign import Plant, each_plant


def test_outcome_is_read_and_a_damaged_one_has_its_files_time(tmp_path: Path) -> None:
    path = tmp_path / "exit.json"
    path.write_text(json.dumps({"reason": "exited", "exit_code": 3}))
    assert read_outcome(str(path)).exit_code == 3
    path.write_text("{")
    os.utime(path, (100, 100))
    damaged = read_outcome(str(path))
    assert (damaged.reason, damaged.exit_code, damaged.ended_at) == ("supervisor_lost", None, 100.0)


def test_missing_file_has_no_outcome(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_outcome(str(tmp_path / "exit.json"))


@each_plant
def test_non_file_is_a_damaged_outcome(tmp_path: Path, plant: Plant) -> None:
    plant(tmp_path / "exit.json")
    assert read_outcome(str(tmp_path / "exit.json")).reason == "supervisor_lost"


@pytest.mark.parametrize(("value", "count"), [(7, 7), (0, 0), (-7, None), (None, None), ("x", None)])
def test_lost_bytes_are_the_supervisors(tmp_path: Path, value: object, count: int | None) -> None:
    path = tmp_path / "runner.json"
    assert read_lost_bytes(str(path)) is None
    path.write_text(json.dumps({"boot_id": "b", "log_lost_bytes": value}))
    assert read_lost_bytes(str(path)) == count
