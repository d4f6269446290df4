from pathlib import Path

import pytest

from api.files.task_files import TaskFiles, write_private
from tests.unit.util.foreign import Plant, each_plant


@each_plant
def test_secrets_replace_any_existing_file(tmp_path: Path, plant: Plant):
    plant(tmp_path / "secrets.json")
    TaskFiles(tmp_path).store_secrets({"HF_TOKEN": "x"})
    assert TaskFiles(tmp_path).read_secrets() == {"HF_TOKEN": "x"}
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "made-by-following").exists()


@each_plant
def test_secrets_that_are_not_a_file_are_reported_without_waiting(tmp_path: Path, plant: Plant):
    plant(tmp_path / "secrets.json")
    with pytest.raises(OSError, match=r"plain|longer"):
        TaskFiles(tmp_path).read_secrets()


@pytest.mark.parametrize("content", ["[]", "3", "{", ""])
def test_unreadable_secrets_count_as_none(tmp_path: Path, content: str):
    (tmp_path / "secrets.json").write_text(content)
    assert TaskFiles(tmp_path).read_secrets() == {}


def test_nothing_is_written_through_a_linked_attempt(tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "task" / "attempts").mkdir(parents=True)
    (tmp_path / "task" / "attempts" / "1").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="plain"):
        write_private(tmp_path / "task" / "attempts" / "1" / "config.toml", b"x")
    assert list((tmp_path / "outside").iterdir()) == []
