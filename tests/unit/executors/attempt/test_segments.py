import os
from pathlib import Path

import pytest

from api.executors.attempt.segments import TIME_RECORD, count_newlines, last_time, read_log, segment_starts


@pytest.fixture
def log(tmp_path: Path) -> str:
    """A log whose first ten bytes were deleted."""
    for start, content in ((10, b"abcde"), (15, b"fghij"), (20, b"kl")):
        (tmp_path / f"{start:020d}.log").write_bytes(content)
    return str(tmp_path)


def test_segment_names_are_offsets(log: str, tmp_path: Path) -> None:
    for name in (
        "99999999999999999990.log",
        f"{2**63:020d}.log",
        "x.log",
        "0000000000000000000٣.log",
        f"{5:020d}.times",
        "supervisor.log",
    ):
        (tmp_path / name).touch()
    assert segment_starts(log) == [10, 15, 20]


@pytest.mark.parametrize(
    ("offset", "limit", "begin", "content"),
    [
        (10, 100, 10, b"abcdefghijkl"),
        (0, 4, 10, b"abcd"),
        (13, 4, 13, b"defg"),
        (15, 5, 15, b"fghij"),
        (21, 100, 21, b"l"),
        (22, 100, 22, b""),
        (99, 1, 99, b""),
        (12, 0, 12, b""),
    ],
)
def test_bytes_are_read_across_segments(log: str, offset: int, limit: int, begin: int, content: bytes) -> None:
    assert read_log(log, offset, limit) == (begin, content)


def test_link_instead_of_a_segment_is_not_followed(log: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / f"{20:020d}.log").unlink()
    (tmp_path / f"{20:020d}.log").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError):  # noqa: PT011 - of the kernel's choice
        read_log(log, 20, 10)


def test_last_valid_time_is_found_before_invalid_ones(tmp_path: Path) -> None:
    path = tmp_path / "times"
    records = [(10, 1, 5.0), (12, 2, 6.0), (999, 3, 7.0)]
    path.write_bytes(b"".join(TIME_RECORD.pack(*record) for record in records) + b"torn")
    with path.open("rb") as file:
        assert last_time(file.fileno(), 10, 20) == (1, 12, 2)
        assert last_time(file.fileno(), 13, 20) is None


def test_newlines_are_counted_without_reading_holes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(b"a\nb\n")
        file.seek(2**40)
        file.write(b"\nc\n")
    handle = os.open(path, os.O_RDONLY)
    try:
        assert count_newlines(handle, 0, 2**40 + 3) == 4
        assert count_newlines(handle, 2, 4) == 1
        assert count_newlines(handle, 4, 4) == 0
    finally:
        os.close(handle)
