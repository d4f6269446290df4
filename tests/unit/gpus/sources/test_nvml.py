"""Tests that replace single functions of the binding; tests/nvml tests the rest through the binding itself."""

import ctypes
from collections.abc import Callable

import pynvml
import pytest

from api.gpus.sources.nvml import LIBRARY, NVMLSource, library_is_absent, library_problem
from api.gpus.sources.source import SourceFault


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise pynvml.NVMLError(code)

    return fail


def test_library_is_shut_down_although_its_event_set_cannot_be_freed(monkeypatch: pytest.MonkeyPatch):
    # NVML counts initialisations: a missing shutdown would keep a lost GPU lost.
    initialisations = [0]
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: initialisations.append(initialisations.pop() + 1))
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: initialisations.append(initialisations.pop() - 1))
    monkeypatch.setattr(pynvml, "nvmlEventSetCreate", object)
    monkeypatch.setattr(pynvml, "nvmlEventSetFree", failing(pynvml.NVML_ERROR_GPU_IS_LOST))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    source = NVMLSource()
    source.refresh(True)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", failing(pynvml.NVML_ERROR_UNKNOWN))
    with pytest.raises(SourceFault):
        source.refresh(True)
    assert initialisations == [0]


def loading(monkeypatch: pytest.MonkeyPatch, error: OSError | None) -> None:
    def load(name: str) -> object:
        assert name == LIBRARY
        if error is not None:
            raise error
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)


def test_library_that_can_be_loaded_has_no_problem(monkeypatch: pytest.MonkeyPatch):
    loading(monkeypatch, None)
    assert (library_problem(), library_is_absent()) == (None, False)


def test_library_whose_file_is_missing_is_absent(monkeypatch: pytest.MonkeyPatch):
    loading(monkeypatch, OSError(f"{LIBRARY}: cannot open shared object file: No such file or directory"))
    assert library_is_absent()


@pytest.mark.parametrize(
    "text",
    [
        "libdependency.so.2: cannot open shared object file: No such file or directory",
        f"/usr/lib/{LIBRARY}: file too short",
        f"/usr/lib/{LIBRARY}: invalid ELF header",
    ],
)
def test_library_that_is_broken_is_not_absent(monkeypatch: pytest.MonkeyPatch, text: str):
    loading(monkeypatch, OSError(text))
    assert (library_problem(), library_is_absent()) == (text, False)
