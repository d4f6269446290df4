import errno
import os
from pathlib import Path
from typing import Any

import pytest

from api.executors.attempt import small_files
from api.executors.attempt.small_files import (
    complain,
    exit_status_of,
    identity_of,
    number,
    parse_json,
    read_file,
    read_json,
    retry_disk_errors,
    truncate,
    write_json,
)


def test_record_is_read_as_written(tmp_path: Path) -> None:
    write_json(str(tmp_path / "a.json"), {"b": [1, "é"]})
    assert read_json(str(tmp_path / "a.json")) == {"b": [1, "é"]}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_content_other_than_an_object_is_none(tmp_path: Path, content: bytes) -> None:
    assert parse_json(content) is None
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json holds no object"):
        read_json(str(tmp_path / "a.json"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1.0), (-1.5, -1.5), (True, None), ("1", None), (None, None), (float("nan"), None), (2**53, None)],
)
def test_invalid_number_is_none(value: Any, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"pid": 7, "start": 9}, (7, 9)),
        ({"pid": 0, "start": 9}, None),
        ({"pid": 2**31, "start": 9}, None),
        ({"pid": 7}, None),
        ([7, 9], None),
        (None, None),
    ],
)
def test_process_in_a_record_needs_a_valid_pid_and_start(given: Any, expected: tuple[int, int] | None) -> None:
    assert identity_of(given) == expected


@pytest.mark.parametrize(("given", "expected"), [(0, 0), (256, 256), (9, 9), (127, None), (2**40, None), ("0", None)])
def test_exit_status_must_be_a_possible_wait_status(given: Any, expected: int | None) -> None:
    assert exit_status_of(given) == expected


def test_disk_errors_are_retried_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now, requests = [0.0], []
    monkeypatch.setattr(small_files.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(small_files.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def look(error: OSError, times: int) -> str:
        requests.append(1)
        if len(requests) <= times:
            raise error
        return "there"

    assert retry_disk_errors(lambda: look(OSError(errno.EIO, "Input/output error"), 3)) == "there"
    assert len(requests) == 4
    requests.clear()
    with pytest.raises(FileNotFoundError):
        retry_disk_errors(lambda: look(FileNotFoundError(errno.ENOENT, "not there"), 9))
    assert len(requests) == 1
    requests.clear()
    with pytest.raises(OSError, match="Input/output"):
        retry_disk_errors(lambda: look(OSError(errno.EIO, "Input/output error"), 10**6))
    assert 40 < len(requests) < 60


def test_kernel_file_is_read_completely() -> None:
    assert read_file("/proc/self/stat").startswith(str(os.getpid()).encode())


def test_truncate_never_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    handle = os.open(tmp_path / "a", os.O_RDWR)
    truncate(handle, 2)
    os.close(handle)
    truncate(handle, 1)
    assert (tmp_path / "a").read_bytes() == b"12"


def test_repeated_complaint_is_written_once(capfd: pytest.CaptureFixture[str]) -> None:
    for text in ("one", "one", "two", "one"):
        complain(text)
    assert [line.split()[-1] for line in capfd.readouterr().err.splitlines()] == ["one", "two", "one"]
