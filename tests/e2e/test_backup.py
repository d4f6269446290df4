"""Backups of a working server, on SQLite and PostgreSQL: a restore recovers the data, and trainings continue."""

import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.databases import BACKENDS, fresh_postgres
from tests.e2e.server import ROOT, environment, until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer

ENDLESS = toy(100_000, step_seconds=0.1)
SECRET = "planted-secret-5f1c9a7e"


on_both = pytest.mark.parametrize("server", BACKENDS, indirect=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TrainingServer]:
    with ExitStack() as stack:
        settings = {} if request.param == "sqlite" else {"DATABASE_URL": stack.enter_context(fresh_postgres())}
        yield stack.enter_context(TrainingServer(tmp_path / "server", **settings))


def operate(server: TrainingServer, *arguments: str, expected: int = 0) -> str:
    """Run a command with the server's own settings, assert its exit code, and return its output."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        cwd=server.directory,
        env=environment(server.settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def load(server: TrainingServer) -> Iterator[list[str]]:
    """Start trainings continually from several clients; yield the list of those that were acknowledged."""
    started: list[str] = []
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.wait(0.05):
            started.append(server.start_task(toy(5, gpus=[7])))

    threads = [threading.Thread(target=go_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield started
    finally:
        is_over.set()
        for thread in threads:
            thread.join(30)


@on_both
def test_backup_under_load_restores_and_its_training_continues(server: TrainingServer, tmp_path: Path) -> None:
    task_id = server.start_task(ENDLESS)
    server.await_step(task_id, 3)
    main = server.main_of(task_id)
    file = tmp_path / "kept.tar.gz"
    with load(server) as started:
        until(lambda: len(started) > 10, LONG)
        before = list(started)
        assert str(file) in operate(server, "backup", str(file))
        assert file.stat().st_mode & 0o777 == 0o600
    later = server.start_task(toy(5, name="made after the backup"))
    assert server.processes_of(task_id)
    server.kill()
    said = operate(server, "restore", str(file), "--force")
    assert "The previous database is kept" in said
    server.start()
    known = {server.task(task)["task_id"] for task in before}
    assert known == set(before)
    assert server.client.get(f"/api/v1/training/{later}").status_code == 404
    task = server.await_status(task_id, "running")
    assert (task["attempt_count"], server.main_of(task_id)) == (1, main)
    server.await_step(task_id, (task["progress"]["current_step"] or 0) + 3)
    server.stop_task(task_id)
    server.await_status(task_id, "stopped")
    assert server.tracebacks() == []


def test_training_started_after_the_backup_is_reported_and_keeps_its_gpu(
    server: TrainingServer, tmp_path: Path
) -> None:
    file = tmp_path / "kept.tar.gz"
    operate(server, "backup", str(file))
    task_id = server.start_task(toy(100_000, step_seconds=0.1, gpus=[3]))
    server.await_step(task_id, 2)
    server.kill()
    operate(server, "restore", str(file), "--force")
    server.start()
    gpu = until(lambda: (found := server.gpu(3))["status"] == "busy" and found, LONG, "the quarantine")
    assert f"{task_id}.1" in gpu["status_reason"]
    assert [orphan["attempt"] for orphan in server.get("/system/strays")["strays"]] == [f"{task_id}.1"]


def test_training_that_ended_after_the_backup_gets_its_outcome(server: TrainingServer, tmp_path: Path) -> None:
    file = tmp_path / "kept.tar.gz"
    task_id = server.start_task(toy(60, step_seconds=0.1))
    server.await_step(task_id, 2)
    operate(server, "backup", str(file))
    server.await_status(task_id, "completed")
    server.kill()
    operate(server, "restore", str(file), "--force")
    server.start()
    assert server.await_status(task_id, "completed")["attempt_count"] == 1


@on_both
def test_former_database_is_complete_where_it_was_moved(server: TrainingServer, tmp_path: Path) -> None:
    file = tmp_path / "kept.tar.gz"
    operate(server, "backup", str(file))
    task_id = server.start_task(toy(5))
    server.await_status(task_id, "completed")
    server.kill()
    said = operate(server, "restore", str(file), "--force")
    kept = said.partition("is kept: ")[2].splitlines()[0].rstrip(".")
    if "DATABASE_URL" not in server.settings:
        server.settings["DATABASE_URL"] = f"sqlite:///{kept}"
        server.start()
        assert server.task(task_id)["status"] == "completed"
        return
    with psycopg.connect(server.settings["DATABASE_URL"]) as connection:
        name = kept.removeprefix("the schema ")
        found = connection.execute(f'SELECT status FROM "{name}".tasks WHERE task_id = %s', [task_id]).fetchone()
    assert found == ("completed",)


def test_restore_is_refused_while_a_server_runs(server: TrainingServer, tmp_path: Path) -> None:
    file = tmp_path / "kept.tar.gz"
    operate(server, "backup", str(file))
    assert "a server runs on STORAGE_ROOT" in operate(server, "restore", str(file), "--force", expected=1)
    # A server of the same database with another storage.
    other = ["--storage-root", str(tmp_path / "other")]
    if "DATABASE_URL" not in server.settings:
        other += ["--database-url", f"sqlite:///{server.root}/database.sqlite"]
    said = operate(server, "restore", str(file), "--force", *other, expected=1)
    assert "in use" in said or "other connections" in said
    assert server.get("/health")["status"] == "ok"


def test_nothing_is_replaced_without_an_option(server: TrainingServer, tmp_path: Path) -> None:
    file = tmp_path / "kept.tar.gz"
    operate(server, "backup", str(file))
    before = file.read_bytes()
    assert "exists: choose another file" in operate(server, "backup", str(file), expected=1)
    assert file.read_bytes() == before
    server.kill()
    said = operate(server, "restore", str(file), expected=1)
    assert "--force (make: FORCE=1)" in said
    server.start()


@on_both
def test_backup_is_restored_onto_an_empty_machine(server: TrainingServer, tmp_path: Path) -> None:
    task_id = server.start_task(toy(5, name="kept"))
    server.await_status(task_id, "completed")
    file = tmp_path / "kept.tar.gz"
    operate(server, "backup", str(file))
    with ExitStack() as stack:
        fresh = {"STORAGE_ROOT": str(tmp_path / "new")}
        if "DATABASE_URL" in server.settings:
            fresh["DATABASE_URL"] = stack.enter_context(fresh_postgres())
        other = TrainingServer(tmp_path / "elsewhere", **fresh)
        said = operate(other, "restore", str(file))
        assert f"were in {server.root}" in said
        assert (tmp_path / "new" / "node").read_bytes() == (server.root / "node").read_bytes()
        stack.enter_context(other)
        assert other.task(task_id)["name"] == "kept"


def test_backup_contains_no_secret_of_a_training(server: TrainingServer, tmp_path: Path) -> None:
    task_id = server.start_task(toy(5, env={"WANDB_API_KEY": SECRET}))
    server.await_status(task_id, "completed")
    assert SECRET in (server.root / "tasks" / task_id / "secrets.json").read_text()
    file = tmp_path / "kept.tar.gz"
    operate(server, "backup", str(file))
    with tarfile.open(file) as archive:
        archive.extractall(tmp_path / "content", filter="data")
    database = tmp_path / "content" / "database"
    content = database.read_bytes()
    if "DATABASE_URL" in server.settings:
        content = subprocess.run(["pg_restore", "--file=-", database], capture_output=True, check=True).stdout
    assert task_id.encode() in content
    assert SECRET.encode() not in content


def test_restore_lists_the_keys_it_revives_and_is_in_the_audit(server: TrainingServer, tmp_path: Path) -> None:
    file = tmp_path / "kept.tar.gz"
    named = {"user_id": "anna", "name": "laptop", "role": "viewer"}
    revived, holding = (server.post("/auth/generate-key", 201, json=named)["key_id"] for _ in range(2))
    operate(server, "backup", str(file))
    server.client.delete(f"/api/v1/auth/keys/{revived}").raise_for_status()
    server.kill()
    # The file that a killed restore has left.
    left = server.root / ".restore-left"
    left.mkdir()
    (left / "database").write_bytes(b"of the backup")
    said = operate(server, "restore", str(file), "--force")
    assert f"  {revived} (anna, laptop)" in said
    assert holding not in said
    assert [*server.root.glob(".restore-*")] == []
    server.start()
    [row] = server.get("/auth/audit?operation=restore")["entries"]
    assert (row["actor"], row["object"], row["after"]["revived_keys"]) == (
        "operator", "kept.tar.gz", [f"{revived} (anna, laptop)"]
    )  # fmt: skip
    assert server.get("/auth/audit/verify")["bad_id"] is None
