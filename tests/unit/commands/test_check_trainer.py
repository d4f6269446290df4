"""The command `check-trainer`."""

import json
from pathlib import Path

import pytest

from api.main import main
from tests.unit.trainers.diffusion_pipe.installation.sample_installation import SampleInstallation


def check(installation: SampleInstallation, *arguments: str) -> int:
    settings = {
        "--storage-root": str(installation.root.parent / "data"),
        "--diffusion-pipe-root": str(installation.root),
        "--diffusion-pipe-python": str(installation.python),
        "--gpu-source": "none",
    }
    return main(["check-trainer", *arguments, *(part for setting in settings.items() for part in setting)])


def test_problems_are_printed_with_their_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    installation = SampleInstallation(tmp_path)
    installation.remove("deepspeed")
    assert check(installation) == 1
    printed = capsys.readouterr().out
    assert "Python: 3.12.4" in printed
    assert "error: DeepSpeed" in printed
    assert f"    {installation.python} -m pip install deepspeed==0.18.4\n" in printed
    assert not (tmp_path / "data").exists()


def test_complete_installation_succeeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert check(SampleInstallation(tmp_path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["ready"] is True


def test_invalid_setting_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["check-trainer", "--trainer-check", "maybe"]) == 2
    assert "TRAINER_CHECK" in capsys.readouterr().err


def test_help_is_printed(capsys: pytest.CaptureFixture[str]):
    assert main(["check-trainer", "--help"]) == 0
    assert "check-trainer [--json]" in capsys.readouterr().out
