"""The program that makes a saved model of a checkpoint."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from api.jobs.exports.program import ExportProgram
from api.jobs.exports.request import MARK, ExportRequest
from api.jobs.kinds import EXPORT_JOB
from api.jobs.messages import MessageKind, read_message
from api.trainers.toy.toy_export import OPTIONS

WEIGHTS = {"w": np.arange(6, dtype=np.float32)}
FILE = "adapter_model.safetensors"


@pytest.fixture(autouse=True)
def _restored_signal_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run with one checkpoint of the toy."""
    directory = tmp_path / "tasks" / "train_1" / "output" / "20260101_00-00-00"
    (directory / "global_step5").mkdir(parents=True)
    save_file(WEIGHTS, directory / "global_step5" / "model.safetensors")
    return directory


def program(run_dir: Path, **changes: Any) -> ExportProgram:
    work = run_dir.parents[2] / "export_1" / "output"
    work.mkdir(parents=True, exist_ok=True)
    config = run_dir.parents[1] / "config.toml"
    config.write_text("epochs = 1\n")
    request = {
        "run_dir": str(run_dir),
        "checkpoint": "global_step5",
        "written_at": "2026-01-01T00:00:00+00:00",
        "target": "step5",
        "config": str(config),
        "options": OPTIONS,
        **changes,
    }
    (work / "wish.json").write_text(json.dumps(ExportRequest(**request).as_json()))
    return ExportProgram(work, "run_1")


def names(directory: Path) -> set[str]:
    return set(os.listdir(directory))


def failure(output: str) -> str:
    found = [message for line in output.splitlines() if (message := read_message(line)) is not None]
    assert found[-1].kind is MessageKind.FAILED
    return found[-1].text


def test_saved_model_is_written_with_its_configuration(run_dir: Path, capsys: pytest.CaptureFixture[str]):
    assert program(run_dir).run() == 0
    assert capsys.readouterr().out.splitlines()[-1] == EXPORT_JOB.completed_phrase
    made = run_dir / "step5"
    assert names(made) == {FILE, "adapter_config.json", "config.toml", MARK}
    assert load_file(made / FILE)["w"].tolist() == WEIGHTS["w"].tolist()
    assert (made / "config.toml").read_text() == "epochs = 1\n"
    assert names(run_dir) == {"global_step5", "step5"}


def test_adapter_config_of_an_earlier_model_is_copied(run_dir: Path):
    (run_dir / "epoch1").mkdir()
    save_file(WEIGHTS, run_dir / "epoch1" / FILE)
    (run_dir / "epoch1" / "adapter_config.json").write_text('{"r": 4}')
    assert program(run_dir).run() == 0
    assert (run_dir / "step5" / "adapter_config.json").read_text() == '{"r": 4}'


def test_names_that_differ_from_those_of_an_earlier_model_end_the_export(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
):
    (run_dir / "epoch1").mkdir()
    save_file({"other": WEIGHTS["w"]}, run_dir / "epoch1" / FILE)
    assert program(run_dir).run() == 1
    assert "other names than those of epoch1" in failure(capsys.readouterr().out)
    assert "step5" not in names(run_dir)


def test_older_export_is_replaced(run_dir: Path):
    (run_dir / "step5").mkdir()
    (run_dir / "step5" / FILE).write_bytes(b"old")
    (run_dir / "step5" / "notes.txt").write_text("of a user")
    assert program(run_dir).run() == 0
    assert load_file(run_dir / "step5" / FILE)["w"].tolist() == WEIGHTS["w"].tolist()
    assert "notes.txt" in names(run_dir / "step5")


def test_rest_of_a_killed_run_is_removed(run_dir: Path):
    left = run_dir / ".export_1.unfinished"
    left.mkdir()
    (left / FILE).write_bytes(b"half")
    assert program(run_dir).run() == 0
    assert names(run_dir) == {"global_step5", "step5"}


def full_disk(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_leaves_nothing(run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("api.jobs.exports.program.os.fsync", full_disk)
    assert program(run_dir).run() == 1
    assert "too little disk space" in failure(capsys.readouterr().out)
    assert names(run_dir) == {"global_step5"}


def test_stop_leaves_nothing(run_dir: Path, capsys: pytest.CaptureFixture[str]):
    export = program(run_dir)
    (export.run_dir / "stop").touch()
    assert export.run() == 0
    assert capsys.readouterr().out.splitlines()[-1] == EXPORT_JOB.stopped_phrase
    assert names(run_dir) == {"global_step5"}


def remove_checkpoint(run_dir: Path) -> None:
    (run_dir / "global_step5").rename(run_dir / "gone")


def damage(run_dir: Path) -> None:
    (run_dir / "global_step5" / "model.safetensors").write_bytes(b"x" * 100)


def replace_by_a_link(run_dir: Path) -> None:
    path = run_dir / "global_step5" / "model.safetensors"
    path.rename(run_dir / "elsewhere")
    path.symlink_to(run_dir / "elsewhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [(remove_checkpoint, "was deleted"), (damage, "it is damaged"), (replace_by_a_link, "not a plain file")],
)
def test_checkpoint_that_cannot_be_read_ends_the_export(
    run_dir: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], message: str
):
    change(run_dir)
    assert program(run_dir).run() == 1
    assert message in failure(capsys.readouterr().out)
    assert "step5" not in names(run_dir)


def test_link_in_place_of_the_target_is_not_followed(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    outside = tmp_path / "outside"
    outside.mkdir()
    (run_dir / "step5").symlink_to(outside)
    assert program(run_dir).run() == 1
    assert "step5 is in the way" in failure(capsys.readouterr().out)
    assert names(outside) == set()


def test_checkpoint_that_takes_too_long_to_open_ends_the_program():
    code = """
from api.jobs.exports import program
program._MOST_OPENING_SECONDS = 0.1
key = ()
for _ in range(60):
    key = (key, key)
with program._limited_time():
    hash(key)  # takes years, and no Python code could interrupt it
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == -signal.SIGVTALRM
