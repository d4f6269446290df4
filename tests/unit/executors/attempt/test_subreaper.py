import os
import select
from pathlib import Path

import pytest

from api.executors.attempt.subreaper import watch


def test_a_change_of_the_directory_can_be_waited_for(tmp_path: Path) -> None:
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


def test_a_directory_that_is_not_there_is_looked_at_instead(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert watch(str(tmp_path / "gone")) == -1
    assert "looked for instead of waited for" in capfd.readouterr().err
