import os
import select
from pathlib import Path

import pytest

from api.executors.attempt.subreaper import watch


def test_change_of_the_directory_wakes_a_poll(tmp_path: Path) -> None:
    (tmp_path / "output").touch()
    handle = watch(str(tmp_path))
    changes = select.poll()
    changes.register(handle, select.POLLIN)
    try:
        assert not changes.poll(0)
        (tmp_path / "output").write_text("more")
        assert changes.poll(5_000)
    finally:
        os.close(handle)


def test_missing_directory_is_polled_instead(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert watch(str(tmp_path / "gone")) == -1
    assert "the output is polled" in capfd.readouterr().err
