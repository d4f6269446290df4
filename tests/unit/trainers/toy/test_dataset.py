import tomllib
from pathlib import Path
from typing import Any

import pytest

from api.trainers.toy.dataset import ToyDataset, read_dataset


def test_pictures_are_counted_and_their_directories_written_down(tmp_path: Path):
    for name in ("a.png", "b.MP4", "notes.txt"):
        (tmp_path / name).touch()
    found = read_dataset({"directories": [{"path": str(tmp_path)}]}, None)
    assert (found.mistakes, found.items) == ((), 2)
    assert tomllib.loads(str(found.toml)) == {"directory": [{"path": str(tmp_path)}]}
    assert read_dataset({}, f'[[directory]]\npath = "{tmp_path}"') == found


def test_without_a_dataset_there_is_nothing_to_count():
    assert read_dataset({}, None) == ToyDataset((), None, None)


@pytest.mark.parametrize(
    ("dataset", "pointer"),
    [
        ({"directories": []}, "/dataset/directories"),
        ({"directories": [{"path": "relative"}]}, "/dataset/directories/0/path"),
        ({"directories": [{"path": "/nowhere/at/all"}]}, "/dataset/directories/0/path"),
        ({"directories": [{"path": "/\0"}]}, "/dataset/directories/0/path"),
        ({"directories": [{"path": "/\ud800"}]}, "/dataset/directories/0/path"),
        ({"directories": [3]}, "/dataset/directories/0/path"),
        ({"directories": [{"path": "/", "num_repeats": 2}]}, "/dataset/directories/0/num_repeats"),
        ({"resolutions": [512]}, "/dataset/resolutions"),
    ],
)
def test_dataset_that_cannot_be_used_is_told(dataset: dict[str, Any], pointer: str):
    mistakes = read_dataset(dataset, None).mistakes
    assert pointer in [mistake.pointer for mistake in mistakes]
    assert all(mistake.remedy for mistake in mistakes)


def test_text_that_is_no_toml_is_told():
    (mistake,) = read_dataset({}, "[[directory]").mistakes
    assert mistake.pointer == "/dataset_toml"
