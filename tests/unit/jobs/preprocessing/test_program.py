"""The program, run as its supervisor runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from api.domain.datasets.media_settings import Cut, CutBy, MediaSettings
from api.jobs.kinds import PREPROCESSING_JOB
from api.jobs.preprocessing.work import WorkItem
from tests.media import clip, picture

ROOT = Path(__file__).parents[4]


def lay_out(work: Path, settings: MediaSettings, **files: bytes) -> None:
    (work / "sources").mkdir(parents=True)
    (work / "settings.json").write_text(json.dumps(settings.as_json()))
    lines = []
    for name, content in files.items():
        (work / "sources" / name).write_bytes(content)
        lines.append(WorkItem(f"{name}.x", name, len(content), f"key_{name}").as_json())
    (work / "items.jsonl").write_bytes(b"".join(lines))


def program(work: Path, run: str = "run_1") -> "subprocess.Popen[str]":
    argv = (sys.executable, "-P", "-u", "-m", "api.jobs.preprocessing.program", "--work", str(work), "--run", run)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def records(work: Path) -> dict[str, str | None]:
    found = [json.loads(path.read_bytes()) for path in (work / "made").glob("key_*.json")]
    return {record["key"]: record["problem"] for record in found}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clip(tmp_path_factory.mktemp("program") / "x.mp4", 60, 30).read_bytes()


def test_every_item_gets_one_record(tmp_path: Path, video: bytes):
    settings = MediaSettings(fps=16.0, cut=Cut(CutBy.SECONDS, 1.0), short_side=24)
    lay_out(tmp_path, settings, a=video, b=picture(), c=b"hostile")
    first = program(tmp_path)
    output, _ = first.communicate(timeout=60)
    assert (first.returncode, output.splitlines()[-1]) == (0, PREPROCESSING_JOB.completed_phrase)
    assert "3 of 3 items, 100.0 %, 0 s left" in output
    found = records(tmp_path)
    assert (found["key_a"], found["key_b"]) == (None, None)
    assert "cannot be opened" in (found["key_c"] or "")
    assert (tmp_path / "run_1" / "done.json").is_file()
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "made").iterdir()}
    again = program(tmp_path, "run_2")
    again.communicate(timeout=60)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "made").iterdir()} == made


def test_stop_file_ends_the_program_between_items(tmp_path: Path):
    lay_out(tmp_path, MediaSettings(short_side=16), a=picture())
    (tmp_path / "run_1").mkdir()
    (tmp_path / "run_1" / "stop").touch()
    ended = program(tmp_path)
    output, _ = ended.communicate(timeout=60)
    assert (ended.returncode, output.splitlines()[-1], records(tmp_path)) == (0, PREPROCESSING_JOB.stopped_phrase, {})
    assert (tmp_path / "run_1" / "stopped.json").is_file()


def test_sigterm_ends_the_program_within_an_item(tmp_path: Path):
    long = clip(tmp_path / "long.mp4", 200, 30, (320, 240)).read_bytes()
    lay_out(tmp_path / "work", MediaSettings(fps=24.0, width=1280, height=960), a=long)
    running = program(tmp_path / "work")
    assert running.stdout is not None
    while "0 of 1 items" not in running.stdout.readline():
        pass
    time.sleep(0.3)
    running.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=30)
    assert (running.returncode, output.splitlines()[-1]) == (0, PREPROCESSING_JOB.stopped_phrase)
