"""The guided tour, in a pipe: to its end, and interrupted while it trains."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.e2e.server import ROOT, environment, until

PATIENCE = 60.0


@contextmanager
def walking(folder: Path, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the walk without pauses; its files are in the folder."""
    command = [sys.executable, str(ROOT / "demo.py"), "--pause", "0"]
    settings = environment({"TMPDIR": str(folder), "PYTHONIOENCODING": "utf-8"})
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=settings, stdout=file, stderr=file)
    try:
        yield process
    finally:
        # When interrupted, it ends its server and its training itself.
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def left_in(folder: Path) -> list[str]:
    """Return the command lines of processes that work there."""
    lines = [found.info["cmdline"] or [] for found in psutil.process_iter(["cmdline"])]
    return [" ".join(line) for line in lines if any(str(folder) in part for part in line)]


def test_walk_trains_to_the_end_and_leaves_nothing(tmp_path: Path) -> None:
    folder, output = tmp_path / "temporary", tmp_path / "output"
    folder.mkdir()
    with walking(folder, output) as process:
        assert process.wait(PATIENCE) == 0, output.read_text()
    text = output.read_text()
    assert "✗" not in text
    assert "the loss fell from" in text
    assert "it is completed" in text
    assert "$ curl -s -X POST" in text
    assert "\x1b" not in text
    assert os.listdir(folder) == []
    assert left_in(folder) == []


def test_interrupted_walk_stops_its_training_and_leaves_nothing(tmp_path: Path) -> None:
    folder, output = tmp_path / "temporary", tmp_path / "output"
    folder.mkdir()
    with walking(folder, output) as process:
        until(lambda: "steps/s" in output.read_text() or process.poll() is not None, PATIENCE, "the first steps")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130, output.read_text()
    assert "The training is stopped." in output.read_text()
    assert os.listdir(folder) == []
    assert left_in(folder) == []
