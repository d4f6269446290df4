"""What a hostile trainer may create under a name. Everything is in the test's own directory."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

Plant = Callable[[Path], None]


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = os.open(path.parent, os.O_RDONLY)
        try:
            made.bind(f"/proc/self/fd/{here}/{path.name}")  # a socket's own path may have 107 bytes
        finally:
            os.close(here)


def outside_of(path: Path) -> Path:
    """The file that a link planted here leads to."""
    return path.parent / f"outside-of-{path.name.lstrip('.')}"


def _link_out(path: Path) -> None:
    outside_of(path).write_text('{"reason": "exited", "exit_code": 0}')
    path.symlink_to(outside_of(path))


def _link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "made-by-following")


def _directory(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("kept")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 * 2**30)


PLANTS: dict[str, Plant] = {
    "fifo": _fifo,
    "socket": _socket,
    "link out": _link_out,
    "link to zeros": _link_to_zeros,
    "dangling link": _dangling_link,
    "directory": _directory,
    "3 GB": _sparse,
}

each_plant = pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS.keys())
