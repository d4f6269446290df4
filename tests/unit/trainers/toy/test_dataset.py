import tomllib
from pathlib import Path
from typing import Any

import pytest

from api.trainers.media import MediaInfoCache
from api.trainers.toy.settings import ToyDataset, read_dataset, write_dataset_file
from tests.unit.trainers.diffusion_pipe.builders import write_image, write_video


def read(dataset: dict[str, Any], dataset_toml: str | None = None) -> ToyDataset:
    return read_dataset(dataset, dataset_toml, MediaInfoCache())


def test_damaged_files_are_reported_and_not_counted(tmp_path: Path):
    write_image(tmp_path / "a.png", (64, 64))
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:-20])
    (tmp_path / "no.mp4").write_text("no video")
    found = read({"directories": [{"path": str(tmp_path)}]})
    assert (found.mistakes, found.items) == ((), 1)
    (warning,) = found.warnings
    assert (warning.pointer, "2 of 3 files" in warning.message) == ("/dataset/directories/0/path", True)
    assert "cut.png, no.mp4" in warning.message


def test_pictures_are_counted_and_directories_are_written(tmp_path: Path):
    write_image(tmp_path / "a.png")
    write_video(tmp_path / "b.mp4", 4, 8)
    (tmp_path / "notes.txt").touch()
    directories = {"directories": [{"path": str(tmp_path)}]}
    found = read(directories)
    assert (found.mistakes, found.items) == ((), 2)
    assert tomllib.loads(str(write_dataset_file(directories, None))) == {"directory": [{"path": str(tmp_path)}]}
    assert read({}, f'[[directory]]\npath = "{tmp_path}"') == found


def test_masks_of_a_dataset_are_only_a_warning(tmp_path: Path):
    write_image(tmp_path / "a.png")
    found = read({"directories": [{"path": str(tmp_path), "mask_path": str(tmp_path)}]})
    assert (found.mistakes, found.items) == ((), 1)
    assert ["no masks" in warning.message for warning in found.warnings] == [True]


def test_without_a_dataset_there_is_nothing_to_count():
    assert read({}) == ToyDataset()


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
def test_unusable_dataset_is_an_error(dataset: dict[str, Any], pointer: str):
    mistakes = read(dataset).mistakes
    assert pointer in [mistake.pointer for mistake in mistakes]
    assert all(mistake.remedy for mistake in mistakes)


def test_invalid_toml_is_an_error():
    (mistake,) = read({}, "[[directory]").mistakes
    assert mistake.pointer == "/dataset_toml"
