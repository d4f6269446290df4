"""Reading source files of the trainer's checkout and packages."""

import os
import warnings
from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.config.checkout import parse, read_bytes
from api.trainers.diffusion_pipe.config.trainer_code import read_code


def test_longer_file_is_not_read(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read_bytes(tmp_path / "a", 4)


@pytest.mark.parametrize("source", ["-" * 7000 + "1", "a" + ".b" * 100_000, "(" * 300, "\0", "x" * 2**21])
def test_source_that_the_parser_cannot_handle_is_an_error(tmp_path: Path, source: str):
    (tmp_path / "a.py").write_text(source)
    with pytest.raises((ValueError, SyntaxError)):
        parse(tmp_path / "a.py")


def test_warnings_about_a_source_are_not_printed(tmp_path: Path):
    (tmp_path / "a.py").write_text(r"a = '\d'")
    with warnings.catch_warnings(record=True) as printed:
        warnings.simplefilter("always")
        parse(tmp_path / "a.py")
    assert printed == []


def test_pipe_in_the_place_of_a_source_file_does_not_block(tmp_path: Path):
    os.mkfifo(tmp_path / "train.py")
    os.mkfifo(tmp_path / "requirements.txt")
    assert read_code(tmp_path).tables == {}
