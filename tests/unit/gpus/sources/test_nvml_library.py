import ctypes

import pytest

from api.gpus.sources.nvml_library import LIBRARY, library_is_absent, library_problem


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
