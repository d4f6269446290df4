import pytest

from api.worker_command import run_worker_command


def test_it_explains_itself(capsys: pytest.CaptureFixture[str]):
    assert run_worker_command(["--help"]) == 0
    assert "CELERY_BROKER_URL" in capsys.readouterr().out


def test_without_a_broker_it_says_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    assert run_worker_command([]) == 2
    assert "CELERY_BROKER_URL says where deliveries come from" in capsys.readouterr().err
