import logging
from pathlib import Path

import pytest

from api.composition.trainer_user import check_paths, prepare_trainer_user
from api.config import Config, ConfigError
from api.db.database import Database, sqlite_url
from api.executors.trainer_user import TrainerUser

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
