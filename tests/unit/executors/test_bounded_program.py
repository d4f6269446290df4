import os
from pathlib import Path
from subprocess import Popen

import pytest

from api.executors import bounded_program
from api.executors.bounded_program import run_bounded


def test_output_between_the_last_read_and_the_end_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def wait_for_end(process: Popen[bytes]) -> bool:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return True

    monkeypatch.setattr(bounded_program, "_has_ended", wait_for_end)
    script = tmp_path / "script"
    script.write_text("sleep 0.4\necho last")
    assert run_bounded(["/bin/sh"], {}, tmp_path, script, 30.0, 1000).text == "last\n"
