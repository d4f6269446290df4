"""Tests that replace single functions of the binding; tests/nvml tests the rest through the binding itself."""

from collections.abc import Callable

import pynvml
import pytest

from api.gpus.sources.nvml import NVMLSource
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
