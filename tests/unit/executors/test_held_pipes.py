import os
from pathlib import Path

from api.executors import held_pipes
from api.executors.attempt.output import PIPE
from api.executors.held_pipes import HeldPipes
from api.executors.host_context import is_held_open


def make(directory: Path) -> Path:
    directory.mkdir()
    os.mkfifo(directory / PIPE)
    return directory


def test_content_of_a_pipe_outlives_its_writer(tmp_path: Path) -> None:
    attempt, pipes = make(tmp_path / "1"), HeldPipes()
    pipes.hold(attempt)
    pipes.hold(attempt)
    writer = os.open(attempt / PIPE, os.O_WRONLY | os.O_NONBLOCK)
    os.write(writer, b"words")
    os.close(writer)
    reader = os.open(attempt / PIPE, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(reader, 100) == b"words"
    os.close(reader)
    pipes.let_go(attempt)
    assert not is_held_open(attempt / PIPE)


def test_attempt_without_a_pipe_is_ignored(tmp_path: Path) -> None:
    pipes = HeldPipes()
    pipes.hold(tmp_path)
    pipes.let_go(tmp_path)
    assert pipes._handles == {}


def test_oldest_pipe_is_closed_at_the_limit(tmp_path: Path, monkeypatch: object) -> None:
    pipes = HeldPipes()
    most, held_pipes.MOST = held_pipes.MOST, 2
    try:
        attempts = [make(tmp_path / str(number)) for number in range(3)]
        for attempt in attempts:
            pipes.hold(attempt)
        assert [is_held_open(attempt / PIPE) for attempt in attempts] == [False, True, True]
    finally:
        held_pipes.MOST = most
        for attempt in attempts:
            pipes.let_go(attempt)
