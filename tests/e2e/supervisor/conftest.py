"""Attempts that end with the test, however it ends."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.supervisor.attempts import Attempts


@pytest.fixture
def attempts(tmp_path: Path) -> Iterator[Attempts]:
    made = Attempts(tmp_path)
    try:
        yield made
    finally:
        made.clean_up()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 1 MB, where tests may mount: too small for a reserve, so that a pipe is used."""
    yield from _disk(tmp_path, "1m")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 48 MB likewise, on which the output has its reserve."""
    yield from _disk(tmp_path, "48m")


def _disk(tmp_path: Path, size: str) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except OSError:
        pytest.skip("there is no mount")
    if done.returncode != 0:
        pytest.skip("mounting is not permitted")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
