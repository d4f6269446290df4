import errno
import json
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from api.executors.executor import AttemptRef, Phase
from api.executors.local import LocalExecutor


def test_outcome_that_was_mended_just_before_its_supervisor_was_gone_is_the_true_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    executor = LocalExecutor(sys.executable, "here", {})
    ref = AttemptRef("train_1.1", tmp_path, tmp_path / "log")
    (tmp_path / "exit.json").write_bytes(b"")

    def write_and_go(directory: Path) -> bool:
        (directory / "exit.json").write_text(json.dumps({"reason": "exited", "exit_code": 0}))
        return False

    monkeypatch.setattr(executor, "_has_supervisor", write_and_go)
    outcome = executor.observe([ref])[ref.uid].outcome
    assert outcome is not None
    assert (outcome.reason, outcome.exit_code) == ("exited", 0)


def test_directory_that_cannot_be_read_is_unknown_and_says_since_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    executor = LocalExecutor(sys.executable, "here", {})
    ref = AttemptRef("train_1.1", tmp_path, tmp_path / "log")

    def refuse(path: object, *_: object, **__: object) -> NoReturn:
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    monkeypatch.setattr("api.executors.local.os.stat", refuse)
    monkeypatch.setattr("api.executors.local.status_of", refuse)
    first = executor.observe([ref])[ref.uid]
    monkeypatch.setattr("api.executors.local.time.monotonic", lambda: 1e9)
    later = executor.observe([ref])[ref.uid]
    assert (first.phase, later.phase) == (Phase.UNKNOWN, Phase.UNKNOWN)
    assert "Stale file handle" in (first.reason or "")
    assert later.age > first.age
