"""System calls that fail where a test decides, as on a faulty disk."""

import errno
import os
from dataclasses import dataclass
from typing import Any

import pytest

#: Calls whose first argument is a handle.
_BY_HANDLE = ("read", "pread", "pwrite", "fsync", "fstat", "ftruncate", "posix_fallocate")


@dataclass
class Fault:
    """A failing call on paths that contain a text. After `times` calls it works again."""

    call: str
    where: str
    error: int
    times: float
    hits: int = 0

    def end(self) -> None:
        self.times = 0


class Faults:
    """The faults of one test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def strike(self, call: str, where: str, error: int = errno.EIO, times: float = float("inf")) -> Fault:
        """Make this call of `os` fail there from now on."""
        fault, true_call = Fault(call, where, error, times), getattr(os, call)

        def fail(*args: Any, **kwargs: Any) -> Any:
            if fault.times > 0 and where in _path(call, args, kwargs):
                fault.times -= 1
                fault.hits += 1
                raise OSError(error, os.strerror(error))
            return true_call(*args, **kwargs)

        self._monkeypatch.setattr(os, call, fail)
        return fault


def _path(call: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    if call in _BY_HANDLE:
        return os.readlink(f"/proc/self/fd/{args[0]}")
    name, handle = (args[1], kwargs.get("dst_dir_fd")) if call == "rename" else (args[0], kwargs.get("dir_fd"))
    if isinstance(name, int):
        return os.readlink(f"/proc/self/fd/{name}")
    return os.fspath(name) if handle is None else f"{os.readlink(f'/proc/self/fd/{handle}')}/{os.fspath(name)}"


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Return an object for faults, with none yet."""
    return Faults(monkeypatch)
