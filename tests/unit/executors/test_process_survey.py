import subprocess
import sys
from pathlib import Path

from api.executors.attempt.process_marks import MARKER, ProcessMark
from api.executors.process_survey import survey

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
