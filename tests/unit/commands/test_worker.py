import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from api.commands import worker as worker_command
from api.commands.worker import run_worker_command
from api.db.database import Database, sqlite_url
from api.nodes.server_store import ServerStore
from api.util.clock import FakeClock
from tests.unit.nodes.test_server_store import FIRST


def test_help_shows_the_usage(capsys: pytest.CaptureFixture[str]):
    assert run_worker_command(["--help"]) == 0
    assert "CELERY_BROKER_URL" in capsys.readouterr().out


def test_missing_broker_is_reported(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    assert run_worker_command([]) == 2
    assert "CELERY_BROKER_URL is required" in capsys.readouterr().err


def test_missing_extra_is_reported_with_the_package_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("api.util.extras.find_spec", lambda name: None)
    assert run_worker_command(["--celery-broker-url", "redis://127.0.0.1:1/0"]) == 2
    assert "The worker needs `make install EXTRAS=celery`" in capsys.readouterr().err


def test_clock_ahead_does_not_age_deliveries(
    migrated_file: Path, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    shutil.copy(migrated_file, tmp_path / "database.sqlite")
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    ServerStore(database).sign(FIRST, clock.steady.read())
    database.close()
    clock.jump(366 * 86_400)
    clock.restart()
    monkeypatch.setattr(worker_command, "SystemClock", lambda: clock)
    monkeypatch.setattr(worker_command, "run_worker", lambda *given: 0)
    monkeypatch.setattr(worker_command, "set_up_logging", lambda *how: None)
    settings = ["--storage-root", str(tmp_path), "--celery-broker-url", "redis://127.0.0.1:1/0"]
    assert run_worker_command(settings) == 0
    assert clock.now() - clock.steady.now() == timedelta(days=366)
