import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.domain.tasks.task import ProcessIdentity
from api.executors.attempt.process_marks import MARKER, ProcessMark, limit_of
from api.executors.process_survey import HostContext, Survey, is_held_open, is_locked, list_living, survey
from api.executors.records import Runner, parse_runner

SCRIPT = "import time; print('up', flush=True); time.sleep(600)"


def test_attempts_and_supervisors_are_found_without_files(tmp_path: Path):
    program = tmp_path / "executors" / "supervisor.py"
    program.parent.mkdir()
    program.write_text(SCRIPT)
    directory = tmp_path / "tasks" / "train_1"
    supervisor = subprocess.Popen(
        [sys.executable, "-I", "-S", str(program), str(directory), "--again"], stdout=subprocess.PIPE
    )
    env = {MARKER: f"uid-{tmp_path.name}"}
    trainer = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, env=env)
    try:
        for process in (supervisor, trainer):
            assert process.stdout is not None
            process.stdout.readline()
        found = survey()
        assert found.supervisors[directory].pid == supervisor.pid
        assert [member.pid for member in found.members[env[MARKER]]] == [trainer.pid]
    finally:
        for process in (supervisor, trainer):
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_process_without_a_uid_is_found_by_its_limit(tmp_path: Path):
    uid = f"uid-{tmp_path.name}"
    with ProcessMark(uid).applied():
        silent = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, env={})
    try:
        assert silent.stdout is not None
        silent.stdout.readline()
        found = survey()
        assert [member.pid for member in found.members_of(uid)] == [silent.pid]
        assert uid not in found.members
        assert found.members_of("another") == ()
    finally:
        silent.kill()
        silent.wait()
        assert silent.stdout is not None
        silent.stdout.close()


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


HERE = HostContext("here", "boot-1", 4026531836)


def runner(node: str | None = "here", boot_id: str = "boot-1", namespace: int | None = 4026531836) -> Runner:
    found = parse_runner(json.dumps({"node": node, "boot_id": boot_id, "pid_namespace": namespace}).encode())
    assert found is not None
    return found


def test_record_of_this_host_matches() -> None:
    record = parse_runner(json.dumps(HERE.as_json()).encode())
    assert record is not None
    assert HERE.matches(record)
    assert record.node == "here"


@pytest.mark.parametrize(
    ("record", "is_here", "why"),
    [
        (runner(), True, None),
        (runner(namespace=None), True, None),
        (runner(namespace=7), False, "another pid namespace"),
        (runner(boot_id="boot-0"), False, None),
        (runner(node="there", boot_id="boot-9"), False, "it was started on there, and this is here"),
    ],
)
def test_pid_is_valid_only_in_its_own_context(record: Runner, is_here: bool, why: str | None) -> None:
    assert HERE.matches(record) is is_here
    hidden = HERE.why_hidden(record)
    assert (hidden is None) if why is None else why in (hidden or "")


def test_current_context_is_this_process() -> None:
    here = HostContext.current("x")
    assert here.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert here.pid_namespace == os.stat("/proc/self/ns/pid").st_ino


def test_lock_is_detected_while_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    with path.open("w") as file:
        assert not is_locked(path)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_locked(path)
    assert not is_locked(path)


def test_file_is_detected_while_open_for_writing(tmp_path: Path) -> None:
    path = tmp_path / "output"
    with path.open("wb"):
        assert is_held_open(path)
    assert not is_held_open(path)


def test_pipe_is_detected_while_open_for_reading(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert not is_held_open(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert is_held_open(path)
    os.close(reader)
    assert not is_held_open(path)


def test_undeterminable_file_counts_as_held(tmp_path: Path) -> None:
    assert is_held_open(tmp_path)
    assert is_held_open(tmp_path / "gone")
