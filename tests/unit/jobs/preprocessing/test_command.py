"""A program of the administrator's writes a caption, well or badly."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.captioning import CaptionSettings
from api.jobs.preprocessing.command import CaptionCommand, NotWanted
from api.jobs.preprocessing.vision import MAX_ANSWER, Refused, Unreachable

ENVIRONMENT = {"PATH": os.defpath, "ONLY": "this"}


def command(program: str, *arguments: str, prompt: str = "What is it?", seconds: float = 20.0) -> CaptionSettings:
    argv = (sys.executable, "-I", "-S", "-c", program, *(arguments or ("{file}",)))
    return CaptionSettings("", "m", prompt, timeout_seconds=seconds, command=argv)


def describe(settings: CaptionSettings, path: Path) -> str:
    return CaptionCommand(settings, ENVIRONMENT).describe(path)


def is_there(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be asked does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_the_path_stands_in_its_arguments_as_it_is_and_what_it_writes_is_the_caption(tmp_path: Path):
    path = tmp_path / "a; touch $(id) 'b'.png"
    path.write_bytes(b"a cat")
    said = "import sys; print('<think>hm</think> ', open(sys.argv[1][3:], 'rb').read().decode(), len(sys.argv))"
    assert describe(command(said, "-f={file}"), path) == "a cat 2"
    assert list(tmp_path.iterdir()) == [path]


def test_prompt_and_model_are_in_its_environment_and_nothing_of_the_service_is(tmp_path: Path):
    said = "import os; print(sorted(os.environ), os.environ['CAPTION_PROMPT'], os.environ['CAPTION_MODEL'])"
    told = describe(command(said, "{file}", prompt="--help\0"), tmp_path / "x")
    assert told.endswith("--help  m")
    assert not {"HOME", "USER", "PYTHONPATH"} & set(told.replace("'", "").strip("[]").replace("]", ",").split(", "))
    assert "ONLY" in told


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import sys; print('a cat'); sys.exit('no model is there')", "code 1: no model is there"),
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("import sys; print('gone', file=sys.stderr)", "empty: gone"),
    ],
)
def test_a_file_that_it_fails_for_gets_none_and_its_last_words_are_told(tmp_path: Path, program: str, why: str):
    with pytest.raises(Refused, match=why):
        describe(command(program), tmp_path / "x")


def test_output_without_an_end_is_not_read_to_it(tmp_path: Path):
    with pytest.raises(Refused, match="no end"):
        describe(command("import os\nwhile True: os.write(1, b'x' * 65536)"), tmp_path / "x")
    assert describe(command(f"import os; os.write(2, b'x' * {2 * MAX_ANSWER}); print('a cat')"), tmp_path / "x")


@pytest.mark.parametrize("shuts", ["", "os.close(1); os.close(2); "])
def test_it_is_ended_in_time_with_its_children(tmp_path: Path, shuts: str):
    program = f"import os, time; p = os.fork(); open('pids', 'a').write(f'{{os.getpid()}} '); {shuts}time.sleep(60)"
    began = time.monotonic()
    with pytest.raises(Unreachable, match="longer than 1 s"):
        describe(command(program, seconds=1.0), tmp_path / "x")
    assert time.monotonic() - began < 10
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 5
    while any(map(is_there, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_there, pids))


def test_a_child_that_it_leaves_behind_is_not_waited_for(tmp_path: Path):
    began = time.monotonic()
    program = "import os, time\nif os.fork(): print('a cat', flush=True)\nelse: time.sleep(60)"
    assert describe(command(program), tmp_path / "x") == "a cat"
    assert time.monotonic() - began < 20


def test_it_is_ended_when_the_task_is_to_stop(tmp_path: Path):
    asked = command("import time; time.sleep(60)")
    with pytest.raises(NotWanted):
        CaptionCommand(asked, ENVIRONMENT, lambda: False).describe(tmp_path / "x")


def test_what_cannot_be_started_writes_nothing(tmp_path: Path):
    with pytest.raises(Unreachable, match="cannot be started"):
        describe(replace(command(""), command=("/nowhere/caption", "{file}")), tmp_path / "x")
