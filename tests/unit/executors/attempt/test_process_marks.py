import os
import resource
import signal
import subprocess

from api.executors.attempt.process_marks import ProcessMark
from api.executors.attempt.processes import marked_processes


def _sleep(env: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sleep", "600"], env=env, start_new_session=True)


def test_process_without_session_and_environment_is_found_by_its_limit() -> None:
    uid = f"unit-{os.getpid()}"
    with ProcessMark(uid).applied():
        marked = _sleep({})
    other = _sleep({})
    try:
        assert marked_processes(uid) == (marked.pid,)
        assert marked_processes(f"{uid}0") == ()
        os.kill(marked.pid, signal.SIGKILL)
        os.waitid(os.P_PID, marked.pid, os.WEXITED | os.WNOWAIT)
        assert marked_processes(uid) == ()
    finally:
        for process in (marked, other):
            process.kill()
            process.wait()


def test_marking_process_is_not_marked_itself() -> None:
    before = resource.getrlimit(resource.RLIMIT_RTTIME)
    with ProcessMark("unit").applied():
        assert ProcessMark("unit").is_on(os.getpid())
    assert resource.getrlimit(resource.RLIMIT_RTTIME) == before
    assert not ProcessMark("unit").is_on(os.getpid())
