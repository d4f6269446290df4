import errno
import logging
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from api.composition.composition import Runtime, allowed_names, check_paths, prepare_trainer_user
from api.composition.observability.process_metrics import TrainingCounts
from api.composition.storage_root import StorageError
from api.config import Config, ConfigError
from api.db.database import Database, sqlite_url
from api.db.database_url import DatabaseError
from api.domain.tasks.training import TaskStatus, TrainingRequest
from api.errors import DatabaseUnavailable
from api.executors.fake import FakeExecutor
from api.executors.trainer_user import TrainerUser
from api.util.clock import FakeClock
from tests.faults import Faults


def test_service_on_loopback_accepts_loopback_names_and_allowed_ones():
    config = Config(allowed_hosts=("gpu.example", "[2001:db8::1]:8080"))
    assert set(allowed_names(config)) == {"localhost", "127.0.0.1", "[::1]", "gpu.example", "[2001:db8::1]"}


def test_service_beyond_loopback_accepts_its_own_addresses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.gpus.sources.host.own_addresses", lambda: frozenset({"box", "192.168.1.5", "fe80::1"}))
    names = set(allowed_names(Config(host="0.0.0.0", allow_unauthenticated=True)))
    assert {"box", "192.168.1.5", "[fe80::1]", "localhost"} <= names


def test_constructor_starts_no_thread_and_creates_no_database(tmp_path: Path):
    before = set(threading.enumerate())
    Runtime(Config(gpu_source="simulated", storage_root=tmp_path))
    assert set(threading.enumerate()) <= before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["nothing://x:s3cret@y", "ntfy://:s3cret@127.0.0.1/gpus", "jsons://s3cret.example.org"])
def test_unusable_notify_url_refuses_the_start(tmp_path: Path, url: str):
    with pytest.raises(ConfigError, match=r"^NOTIFY_URL: the address") as refused:
        Runtime(Config(gpu_source="simulated", storage_root=tmp_path, notify_url=url))
    assert "s3cret" not in str(refused.value)


def test_start_serves_first_responses_and_stop_leaves_no_thread(tmp_path: Path):
    before = set(threading.enumerate())
    config = Config(gpu_source="simulated", simulated_gpus="3x L40S", log_level="WARNING", storage_root=tmp_path)
    runtime = Runtime(config)
    runtime.prepare()
    runtime.start()
    try:
        assert runtime.services.gpus.service.wait_for_first_sweep(20)
        assert len(runtime.services.gpus.service.get_all_gpus()) == 3
    finally:
        runtime.stop()
    assert [thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()] == []


def test_machine_keeps_the_name_from_the_creation_of_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("first", "a-new-container"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        runtime = Runtime(Config(gpu_source="simulated", storage_root=tmp_path))
        runtime.prepare()
        runtime.database.close()
        assert (tmp_path / "node").read_text().splitlines()[0] == "first"


def test_disk_that_cannot_store_the_machines_name_is_reported(tmp_path: Path, faults: Faults):
    faults.strike("rename", "/node", errno.ENOSPC)
    runtime = Runtime(Config(gpu_source="simulated", storage_root=tmp_path))
    with pytest.raises(StorageError, match=r"STORAGE_ROOT=.*No space left"):
        runtime.prepare()
    runtime.database.close()


def test_stored_name_needs_no_disk_space(tmp_path: Path, faults: Faults):
    config = Config(gpu_source="simulated", storage_root=tmp_path)
    for is_full in (False, True):
        if is_full:
            faults.strike("rename", "/node", errno.ENOSPC)
        runtime = Runtime(config)
        runtime.prepare()
        runtime.database.close()


def test_storage_that_is_not_a_directory_is_refused_by_name(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"STORAGE_ROOT=.*file"):
        Runtime(Config(gpu_source="simulated", storage_root=tmp_path / "file"))


@pytest.mark.parametrize("url", ["mysql://a/b", "sqlite://", "nonsense", "sqlite:///:memory:"])
def test_invalid_database_is_refused_by_name(tmp_path: Path, url: str):
    with pytest.raises(DatabaseError, match="DATABASE_URL"):
        Runtime(Config(gpu_source="simulated", storage_root=tmp_path, database_url=url))


def test_second_server_on_a_storage_leaves_the_trainings_to_the_first(tmp_path: Path):
    config = Config(gpu_source="simulated", log_level="WARNING", storage_root=tmp_path)
    executors = FakeExecutor(), FakeExecutor()
    first, second = (Runtime(config, executor=executor) for executor in executors)
    try:
        first.prepare()
        first.training_loop.run_once()
        first.services.gpus.service._monitor.sweep()
        request = TrainingRequest(model_type="toy", config={"epochs": 1})
        first.services.training.service.start(request, "api")
        second.services.gpus.service._monitor.sweep()
        second.training_loop.run_once()
        assert executors[1].submissions == []
        first.training_loop.run_once()
        assert len(executors[0].submissions) == 1
    finally:
        first.stop()
        second.training_loop.run_once()
        second.stop()


#: A setpriv whose user may access the paths after `in`.
MAY = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift 2\ncase "$*" in {cases}) exit 0 ;; esac\nexit 1\n'


def user(tmp_path: Path, *allowed: str) -> TrainerUser:
    program = tmp_path / "setpriv"
    program.write_text(MAY.format(cases="|".join(f'"{each}"' for each in allowed)))
    program.chmod(0o755)
    return TrainerUser("trainer", 7001, 7002, (), tmp_path / "none", str(program))


def check(tmp_path: Path, *allowed: str, **settings: object) -> None:
    config = Config(storage_root=tmp_path, **settings)  # type: ignore[arg-type]
    database = Database(sqlite_url(tmp_path / "elsewhere.sqlite"), tmp_path)
    try:
        check_paths(user(tmp_path, f"-x {tmp_path}/tasks", *allowed), config, database)
    finally:
        database.close()


def test_without_the_setting_nothing_is_checked() -> None:
    assert prepare_trainer_user(Config()) is None


def test_unusable_user_refuses_the_start() -> None:
    with pytest.raises(ConfigError, match="TRAINER_USER=root"):
        prepare_trainer_user(Config(trainer_user="root"))


def test_database_readable_by_the_user_is_refused_anywhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it may read .*elsewhere\.sqlite"):
        check(tmp_path, f"-r {tmp_path}/elsewhere.sqlite")


def test_administrators_key_readable_by_the_user_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it may read .*admin-key"):
        check(tmp_path, f"-r {tmp_path}/admin-key", admin_key_file=tmp_path / "admin-key")


def test_paths_that_trainings_cannot_use_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "shared-cache").mkdir()
    (tmp_path / "train.py").touch()
    with caplog.at_level(logging.WARNING):
        check(
            tmp_path,
            f"-r {tmp_path}/train.py",
            trainer_cache_roots=(tmp_path / "shared-cache",),
            diffusion_pipe_root=tmp_path,
            diffusion_pipe_python=str(tmp_path / "setpriv"),
        )
    output = [record.getMessage() for record in caplog.records]
    assert f"trainings run as trainer, who cannot write to {tmp_path}/shared-cache" in output
    assert f"trainings run as trainer, who cannot execute {tmp_path}/setpriv" in output
    assert not [line for line in output if "train.py" in line]


class Counting:
    """Counts of trainings that may be unavailable."""

    def __init__(self) -> None:
        self.is_away = False

    def __call__(self) -> dict[TaskStatus, int]:
        if self.is_away:
            raise DatabaseUnavailable
        return {TaskStatus.RUNNING: 2}


def shown(counts: TrainingCounts) -> str:
    registry = CollectorRegistry()
    registry.register(counts)
    return generate_latest(registry).decode()


def test_counts_are_current(clock: FakeClock):
    text = shown(TrainingCounts(Counting(), clock))
    assert 'diffusion_pipe_trainings{status="running"} 2.0' in text
    assert "diffusion_pipe_trainings_age_seconds 0.0" in text


def test_last_counts_are_shown_with_their_age_while_the_database_is_unavailable(clock: FakeClock):
    counting = Counting()
    counts = TrainingCounts(counting, clock)
    shown(counts)
    counting.is_away = True
    clock.advance(30)
    assert 'diffusion_pipe_trainings{status="running"} 2.0' in shown(counts)
    assert "diffusion_pipe_trainings_age_seconds 30.0" in shown(counts)


def test_unknown_counts_are_omitted(clock: FakeClock):
    counting = Counting()
    counting.is_away = True
    assert "diffusion_pipe_trainings" not in shown(TrainingCounts(counting, clock))
