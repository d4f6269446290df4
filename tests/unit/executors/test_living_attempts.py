import json
from pathlib import Path

import pytest

from api.domain.task import ProcessIdentity
from api.executors.attempt.process_marks import limit_of
from api.executors.living_attempts import list_living
from api.executors.process_survey import Survey

SUPERVISOR, MEMBER = ProcessIdentity(50, 1.0), ProcessIdentity(51, 1.0)


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    directory = tmp_path / "tasks" / "a" / "attempts" / "1"
    directory.mkdir(parents=True)
    spec = {"uid": "a.1", "log_directory": str(tmp_path / "log"), "gpu_uuids": ["GPU-0"]}
    (directory / "spec.json").write_text(json.dumps(spec))
    return directory


def nowhere(uid: str) -> Path | None:
    return None


def test_supervisor_and_its_processes_are_one_attempt(tmp_path: Path, attempt: Path) -> None:
    found = Survey({attempt: SUPERVISOR}, {"a.1": (MEMBER,)})
    (living,) = list_living(found, tmp_path, nowhere)
    assert (living.ref.uid, living.ref.directory, living.gpu_uuids) == ("a.1", attempt, ("GPU-0",))
    assert (living.supervisor, living.members, living.has_ended) == (SUPERVISOR, (MEMBER,), False)


def test_processes_without_a_supervisor_are_found_by_uid(tmp_path: Path, attempt: Path) -> None:
    found = Survey({}, {"a.1": (MEMBER,), "b.1": (MEMBER,)})
    (living,) = list_living(found, tmp_path, lambda uid: attempt)
    assert (living.ref.uid, living.supervisor) == ("a.1", None)
    assert list_living(found, tmp_path, nowhere) == []


def test_attempts_of_another_storage_are_ignored(tmp_path: Path, attempt: Path) -> None:
    assert list_living(Survey({attempt: SUPERVISOR}, {}), tmp_path / "other", nowhere) == []


def test_attempt_without_a_record_is_ignored(tmp_path: Path, attempt: Path) -> None:
    (attempt / "spec.json").unlink()
    assert list_living(Survey({attempt: SUPERVISOR}, {}), tmp_path, nowhere) == []


def test_existing_outcome_is_reported(tmp_path: Path, attempt: Path) -> None:
    (attempt / "exit.json").write_text("{}")
    (living,) = list_living(Survey({attempt: SUPERVISOR}, {}), tmp_path, nowhere)
    assert living.has_ended


def test_processes_with_only_a_limit_are_matched_to_known_attempts(tmp_path: Path, attempt: Path) -> None:
    found = Survey({}, {}, {limit_of("a.1"): (MEMBER,)})
    (living,) = list_living(found, tmp_path, lambda uid: attempt, lambda: ["b.1", "a.1"])
    assert (living.ref.uid, living.members) == ("a.1", (MEMBER,))


def test_known_attempts_are_not_listed_if_all_supervisors_live(tmp_path: Path, attempt: Path) -> None:
    def refuse() -> list[str]:
        raise AssertionError

    found = Survey({attempt: SUPERVISOR}, {}, {limit_of("a.1"): (MEMBER,)})
    (living,) = list_living(found, tmp_path, nowhere, refuse)
    assert (living.supervisor, living.members) == (SUPERVISOR, (MEMBER,))
