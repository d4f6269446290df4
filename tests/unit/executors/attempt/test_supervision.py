"""The checks of a supervisor before it starts; tests/e2e/supervisor tests the rest, with processes."""

import json
from pathlib import Path

import pytest

from api.executors.attempt.directory import Superseded
from api.executors.attempt.supervision import Supervisor
from api.executors.executor import AttemptRef, Submission
from api.executors.spec import describe


def test_attempt_started_elsewhere_during_a_disconnection_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = Submission(AttemptRef("a.1", tmp_path, tmp_path / "log"), ("x",), tmp_path, {})
    (tmp_path / "spec.json").write_text(json.dumps(describe(submission, "n1", use_cgroup=False)))
    (tmp_path / "environment.json").write_text("{}")
    started: list[object] = []
    monkeypatch.setattr("api.executors.attempt.supervision.spawn", lambda *given: started.append(given))
    supervisor = Supervisor(str(tmp_path), -1)
    # In between it was blocked by a file server that did not answer.
    monkeypatch.setattr(Supervisor, "_open_log", lambda self: (tmp_path / "fence").write_text("9"))
    with pytest.raises(Superseded):
        supervisor._run_alone(supervisor._directory.take_lock())
    assert (started, (tmp_path / "runner.json").exists()) == ([], False)
