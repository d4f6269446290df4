"""What a supervisor looks at before it begins; tests/e2e/supervisor has the rest, with processes."""

import json
from pathlib import Path

import pytest

from api.executors.attempt.directory import Surpassed
from api.executors.attempt.supervision import Supervisor
from api.executors.executor import AttemptRef, Submission
from api.executors.spec import describe


def test_what_was_begun_elsewhere_while_its_machine_was_cut_off_is_not_begun_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = Submission(AttemptRef("a.1", tmp_path, tmp_path / "log"), ("x",), tmp_path, {})
    (tmp_path / "spec.json").write_text(json.dumps(describe(submission, "n1", use_cgroup=False)))
    (tmp_path / "environment.json").write_text("{}")
    begun: list[object] = []
    monkeypatch.setattr("api.executors.attempt.supervision.spawn", lambda *given: begun.append(given))
    supervisor = Supervisor(str(tmp_path), -1)
    # In between it was held by a file server that was away.
    monkeypatch.setattr(Supervisor, "_open_log", lambda self: (tmp_path / "fence").write_text("9"))
    with pytest.raises(Surpassed):
        supervisor._run_alone(supervisor._directory.take_lock())
    assert (begun, (tmp_path / "runner.json").exists()) == ([], False)
