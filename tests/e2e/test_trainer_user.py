"""Trainings that run as another user than the service: what they can do as usual, and what they cannot."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.other_users import (
    SERVICE,
    TRAINER,
    as_service,
    require_other_users,
    separated_server,
    service_directory,
    unseparated_server,
)
from tests.e2e.server import BASE, ROOT, command, environment, until
from tests.e2e.toy_tasks import NASTY, QUIT, toy
from tests.e2e.training_server import LONG, TrainingServer, kill
from tests.e2e.witness import runs

ENDLESS = toy(100_000, step_seconds=0.1)
HOSTILE_EPOCHS = 13

#: Replaces the toy's program: it is hostile for a certain number of epochs, and otherwise trains.
CHOICE = """
import runpy, sys, tomllib
from pathlib import Path
config = tomllib.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
if config["epochs"] == {epochs}:
    sys.argv.append({targets!r})
    runpy.run_path({hostile!r}, run_name="__main__")
else:
    runpy.run_path(str(Path(__file__).with_name("toy_train.py")), run_name="__main__")
"""

pytestmark = pytest.mark.usefixtures("other_users")


@pytest.fixture(scope="module")
def other_users() -> None:
    require_other_users()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with service_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def server(place: Path, other_users: None) -> Iterator[TrainingServer]:
    with separated_server(place) as started:
        yield started


def users_of(server: TrainingServer, task_id: str) -> set[tuple[Any, ...]]:
    found = [psutil.Process(process.pid) for process in server.processes_of(task_id)]
    return {tuple(process.uids()) for process in found}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def delete(server: TrainingServer, task_id: str) -> None:
    """Delete a task with its files, once its GPUs have drained."""
    address = f"{BASE}/training/{task_id}?files=true"
    until(lambda: server.client.delete(address).status_code == 200, LONG, "the deletion")
    assert not (server.root / "tasks" / task_id).exists()


def test_training_runs_as_its_user_saves_and_is_resumed(server: TrainingServer) -> None:
    task_id = server.start_task(toy(100_000, step_seconds=0.05, every=10))
    server.await_step(task_id, 12)
    assert users_of(server, task_id) == {(TRAINER,) * 3}
    (supervisor,) = [pid for pid, directory in server.processes.supervisors().items() if task_id in str(directory)]
    assert psutil.Process(supervisor).uids().real == SERVICE
    server.stop_task(task_id)
    stopped = server.await_status(task_id, "stopped")
    assert QUIT in server.log_of(task_id)
    last = [checkpoint for checkpoint in stopped["checkpoints"] if checkpoint["is_complete"]][-1]
    server.post(f"/training/resume/{task_id}", 202, json={})
    server.await_step(task_id, last["step"] + 3)
    server.stop_task(task_id)
    server.await_status(task_id, "stopped")
    files = [file for file in server.get(f"/training/{task_id}/artifacts")["artifacts"] if file["size_bytes"]]
    for file in files:
        answer = server.client.get(f"{BASE}/training/{task_id}/artifacts/{file['path']}")
        assert (answer.status_code, len(answer.content)) == (200, file["size_bytes"]), file
    delete(server, task_id)


def test_checkpoint_is_exported_and_the_trainer_may_replace_the_model(server: TrainingServer) -> None:
    task_id = server.start_task(toy(10, every=5, step_seconds=0.01))
    server.await_status(task_id, "completed")
    made = server.post(f"/training/{task_id}/export", 202, json={"checkpoint": "global_step5"})
    server.await_status(made["export_id"], "completed")
    (model,) = server.root.glob(f"tasks/{task_id}/output/*/step5/adapter_model.safetensors")
    gid = model.parents[2].stat().st_gid
    for path, mode in ((model, 0o660), (model.parent, 0o770)):
        assert (path.stat().st_gid, mode_of(path) & 0o777) == (gid, mode)
    delete(server, task_id)


def test_trainers_user_exports_a_checkpoint_and_the_service_delivers_and_tidies(server: TrainingServer) -> None:
    knobs = {"exports_directly": False}
    task_id = server.start_task(toy(9, every=5, step_seconds=0.01, knobs=knobs))
    server.await_status(task_id, "completed")
    made = server.post(f"/training/{task_id}/export", 202, json={"checkpoint": "global_step5"})
    server.await_status(made["export_id"], "completed")
    (model,) = server.root.glob(f"tasks/{task_id}/output/*/step6/adapter_model.safetensors")
    assert model.stat().st_uid == TRAINER
    address = f"{BASE}/training/{task_id}/artifacts/{model.relative_to(model.parents[2])}"
    assert server.client.get(f"{address}?raw=true").content == model.read_bytes()
    files = server.root / "tasks" / made["export_id"]
    until(lambda: {path.name for path in files.iterdir()} == {"attempts", "log"}, LONG, "the removal of its files")
    delete(server, task_id)


def test_permissions_of_its_files_and_of_withheld_ones(server: TrainingServer) -> None:
    task_id = server.start_task(toy(10, env={"HF_TOKEN": "hf_planted_secret"}))
    server.await_status(task_id, "completed")
    task = server.root / "tasks" / task_id
    assert (mode_of(server.root), mode_of(server.root / "tasks"), mode_of(task)) == (0o710, 0o710, 0o710)
    assert mode_of(server.root / "caches") == mode_of(task / "output") == 0o2770
    assert mode_of(task / "secrets.json") == mode_of(server.root / "database.sqlite") == 0o600
    assert mode_of(task / "log") == mode_of(server.root / "server-log") == 0o700
    assert task.stat().st_gid not in (SERVICE, TRAINER)
    (run_dir,) = (path for path in (task / "output").iterdir() if path.is_dir())
    assert (run_dir.stat().st_uid, run_dir.stat().st_gid) == (TRAINER, TRAINER)
    assert not [path for path in run_dir.rglob("*") if not path.is_dir() and mode_of(path) & 0o044 != 0o040]


#: Writes a dataset of four pictures to the store of a server, as the service's user.
PUT = """
import sys
from pathlib import Path
from tests.e2e.shelves import Shelf, png
shelf = Shelf(Path(sys.argv[1]))
shelf.put("cats", [shelf.store(f"{seed}.png", png(seed), "a cat") for seed in range(4)])
"""


def test_named_dataset_is_readable_but_not_writable_for_the_trainers_user(server: TrainingServer) -> None:
    put = [*as_service(), sys.executable, "-c", PUT, str(server.root)]
    subprocess.run(put, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=server.root)
    task_id = server.start_task(toy(10, dataset={"directories": [{"dataset": "cats"}]}))
    task = server.await_status(task_id, "completed")
    assert task["plan"]["dataset_items"] == 4
    (laid,) = (server.root / "tasks" / task_id / "datasets").glob("cats-*/media")
    assert (mode_of(laid), laid.stat().st_uid, laid.stat().st_gid) == (0o2770, SERVICE, TRAINER)
    hostile = "import os, sys; os.mkdir('cache'); open('1.png', 'r+b').write(b'x')"
    become = ["setpriv", f"--reuid={TRAINER}", f"--regid={(server.root / 'tasks' / task_id).stat().st_gid}"]
    become += [f"--groups={TRAINER}", "--", sys.executable, "-c", hostile]
    tried = subprocess.run(become, cwd=laid, capture_output=True, text=True, check=False)
    assert "PermissionError: [Errno 13] Permission denied: '1.png'" in tried.stderr
    assert (laid / "cache").is_dir()
    delete(server, task_id)


def test_training_of_the_services_user_is_resumed_as_the_trainers_user(other_users: None) -> None:
    with service_directory() as directory:
        with unseparated_server(directory) as before:
            task_id = before.start_task(toy(100_000, step_seconds=0.05, every=10))
            before.await_step(task_id, 12)
            assert users_of(before, task_id) == {(SERVICE,) * 3}
            before.stop_task(task_id)
            last = before.await_status(task_id, "stopped")["progress"]["current_step"]
        (directory / "server.log").unlink()
        with separated_server(directory) as server:
            server.post(f"/training/resume/{task_id}", 202, json={})
            server.await_step(task_id, last + 12)
            assert users_of(server, task_id) == {(TRAINER,) * 3}
            server.stop_task(task_id)
            server.await_status(task_id, "stopped")


# -- killed servers and supervisors ------------------------------------------------------------------------------------


def test_training_outlives_the_kill_of_server_and_supervisor_and_is_adopted(server: TrainingServer) -> None:
    task_id = server.start_task(ENDLESS)
    server.await_step(task_id, 3)
    main = server.main_of(task_id)
    server.kill()
    end_supervisors(server)
    server.start()
    step = server.task(task_id)["progress"]["current_step"] or 0
    task = server.await_step(task_id, step + 5)
    assert (task["status"], task["attempt_count"], server.main_of(task_id)) == ("running", 1, main)
    server.stop_task(task_id)
    server.await_status(task_id, "stopped")
    assert QUIT in server.log_of(task_id)


def test_training_without_records_is_known_by_its_limit_and_not_started_again(server: TrainingServer) -> None:
    task_id = server.start_task(ENDLESS)
    server.await_step(task_id, 3)
    main = server.main_of(task_id)
    server.kill()
    end_supervisors(server)
    shutil.rmtree(server.root / "tasks" / task_id / "attempts" / "1")
    server.start()
    until(lambda: server.task(task_id)["attempts"][0]["pid"] == main.pid, LONG, "the training to be taken over")
    assert server.main_of(task_id) == main
    server.stop_task(task_id, force=True)
    server.await_status(task_id, "stopped")
    assert not runs(main.identity)


def test_escaped_process_is_ended_although_its_supervisor_was_killed(server: TrainingServer) -> None:
    task_id = server.start_task(toy(100_000, step_seconds=0.1, knobs=NASTY | {"ignore_sigterm": True}))
    server.await_step(task_id, 3)
    fled = {process.identity for process in server.processes_of(task_id)}
    assert len(fled) > 3
    end_supervisors(server)
    server.await_step(task_id, server.task(task_id)["progress"]["current_step"] + 3)
    server.stop_task(task_id, force=True)
    server.await_status(task_id, "stopped")
    assert not [identity for identity in fled if runs(identity)]


def end_supervisors(server: TrainingServer) -> None:
    supervisors = list(server.processes.supervisors())
    assert supervisors
    for pid in supervisors:
        kill(pid)
    until(lambda: not set(server.processes.supervisors()) & set(supervisors), LONG, "the end of the supervisors")


# -- a hostile trainer -------------------------------------------------------------------------------------------------


class Hostile:
    """A server whose toy attacks for a certain number of epochs, and a victim that trains meanwhile."""

    def __init__(self, directory: Path, server: TrainingServer) -> None:
        self.server = server
        self.targets = directory / "targets.json"
        program = directory / "code" / "api" / "trainers" / "toy" / "train.py"
        shutil.copytree(
            ROOT / "api", directory / "code" / "api", ignore=shutil.ignore_patterns("__pycache__", "vendor")
        )
        shutil.copy(ROOT / "run.py", directory / "code")
        shutil.copy(Path(__file__).with_name("hostile_trainer.py"), directory / "hostile.py")
        program.rename(program.with_name("toy_train.py"))
        hostile, epochs = str(directory / "hostile.py"), HOSTILE_EPOCHS
        program.write_text(CHOICE.format(epochs=epochs, targets=str(self.targets), hostile=hostile))
        server.code = directory / "code"

    def attack(self, **targets: list[Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the result of each action, and the attacker's own status."""
        names = ("read", "list", "write", "pids", "signal", "uids", "link", "close")
        self.targets.write_text(json.dumps({name: targets.get(name, []) for name in names}))
        self.targets.chmod(0o644)
        self.task_id = self.server.start_task(toy(5, HOSTILE_EPOCHS))
        until(lambda: self.server.task(self.task_id)["status"] in ("failed", "completed"), LONG, "the attack")
        lines = self.server.log_of(self.task_id).splitlines()
        done = next(json.loads(line.removeprefix("HOSTILE ")) for line in lines if line.startswith("HOSTILE "))
        status = next(json.loads(line.removeprefix("status: ")) for line in lines if line.startswith("status: "))
        return done, dict(line.split(":\t", 1) for line in status if ":\t" in line)


@pytest.fixture(scope="module")
def hostile(other_users: None) -> Iterator[Hostile]:
    with service_directory() as directory:
        server = separated_server(directory)
        attacker = Hostile(directory, server)
        with server:
            yield attacker


def test_hostile_trainer_reaches_nothing_of_the_service_and_of_other_trainings(hostile: Hostile) -> None:
    server = hostile.server
    over = server.start_task(toy(5, env={"HF_TOKEN": "hf_planted_secret"}))
    server.await_status(over, "completed")
    victim = server.start_task(toy(100_000, step_seconds=0.1, env={"HF_TOKEN": "hf_planted_secret"}))
    server.await_step(victim, 3)
    trainer = server.main_of(victim)
    service = [server.pid, *server.processes.supervisors()]
    tasks = [server.root / "tasks" / task_id for task_id in (over, victim)]
    files = [str(path) for task in tasks for path in sorted(task.rglob("*")) if path.is_file()]
    files += [str(path) for path in sorted(server.root.iterdir()) if path.is_file()]
    files += [str(path) for path in sorted((server.root / "server-log").iterdir())]
    assert {Path(path).name for path in files} >= {"secrets.json", "config.toml", "runner.json", "database.sqlite"}
    done, status = hostile.attack(
        read=files,
        list=[str(server.root), str(server.root / "tasks"), *(str(task / "output") for task in tasks)],
        write=[*files, *(str(place / "new") for place in (server.root, server.root / "tasks", tasks[0] / "output"))],
        pids=[*service, trainer.pid],
        signal=service,  # trace, signal and kill
        uids=[0, SERVICE],
        link=[str(server.root / "database.sqlite")],
    )
    assert len(done) > 100
    assert {action: what for action, what in done.items() if what not in ("PermissionError", "FileNotFoundError")} == {}
    # An invisible file may look missing; a closed database has no journal file.
    assert {action for action, what in done.items() if what == "FileNotFoundError"} <= {
        f"{verb} {server.root}/database.sqlite-{suffix}"
        for verb in ("read", "link")
        for suffix in ("wal", "shm", "journal")
    }
    assert status["Uid"].split() == [str(TRAINER)] * 4
    assert [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == ["0" * 16] * 4
    assert status["NoNewPrivs"] == "1"
    assert runs(trainer.identity)
    server.stop_task(victim, force=True)
    server.await_status(victim, "stopped")


def test_trainer_cannot_write_its_own_records_and_sees_no_secret_file(hostile: Hostile) -> None:
    server = hostile.server
    done, _ = hostile.attack(list=["/proc/self/fd"], read=["/proc/self/environ"], write=["/dev/stdout", "/dev/stderr"])
    assert set(done.values()) == {"done"}
    attempt = server.root / "tasks" / hostile.task_id / "attempts" / "1"
    own = [str(attempt / name) for name in ("exit.json", "runner.json", "spec.json", "lock", "fence", "new")]
    done, _ = hostile.attack(write=own, list=[str(attempt), str(attempt.parent)])
    assert set(done.values()) == {"PermissionError"}


def test_inaccessible_files_of_a_trainer_are_opened_and_deleted(hostile: Hostile) -> None:
    server = hostile.server
    hostile.attack(close=["kept/file"])
    files = server.get(f"/training/{hostile.task_id}/artifacts")["artifacts"]
    assert [file["path"] for file in files] == ["kept/file"]
    answer = server.client.get(f"{BASE}/training/{hostile.task_id}/artifacts/kept/file")
    assert (answer.status_code, answer.text) == (200, "mine")
    delete(server, hostile.task_id)


def test_without_the_separation_the_same_actions_succeed(other_users: None) -> None:
    """Prove that the tests above try what a trainer can do, as SECURITY.md states."""
    with service_directory() as directory:
        server = unseparated_server(directory)
        attacker = Hostile(directory, server)
        with server:
            database, secrets = server.root / "database.sqlite", server.root / "tasks"
            done, _ = attacker.attack(read=[str(database)], list=[str(secrets)], pids=[server.pid])
    assert done[f"read {database}"] == done[f"list {secrets}"] == done[f"read /proc/{server.pid}/environ"] == "done"


# -- impossible configurations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capabilities", "said"),
    [
        ((), "no process can become this user"),
        (("setuid", "kill"), "no process can become this user"),
        (("setuid", "setgid"), "its processes cannot be ended"),
    ],
)
def test_server_without_the_capabilities_refuses_to_start(
    place: Path, capabilities: tuple[str, ...], said: str
) -> None:
    program = f"""
from api.executors.trainer_user import find_trainer_user
find_trainer_user("{TRAINER}:{TRAINER}").check()
"""
    done = subprocess.run(
        [*as_service(*capabilities), sys.executable, "-c", program],
        env=environment({"PYTHONPATH": str(ROOT)}),
        cwd=place,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert "ConfigError" in done.stderr
    assert said in done.stderr
    assert "CAP_SETUID, CAP_SETGID and CAP_KILL" in done.stderr


def test_storage_unreachable_for_the_trainers_user_is_refused_before_anything_starts(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    os.chown(closed, SERVICE, TRAINER)
    settings = {"TRAINER_USER": f"{TRAINER}:{TRAINER}", "STORAGE_ROOT": str(closed / "data"), "GPU_SOURCE": "simulated"}
    done = subprocess.run(
        [*as_service("setuid", "setgid", "kill"), *command("--port", "0")],
        env=environment(settings),
        cwd=place,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == 2
    assert f"it cannot pass to {closed}/data/tasks" in done.stderr
