"""The administrator's command for captions, with its failures."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.datasets.captioning import CaptionSettings
from api.jobs.errors import StopRequested
from api.jobs.preprocessing.vision import MAX_ANSWER, CaptionCommand, Refused, Unreachable
from tests.patience import BUSY_SECONDS

ENVIRONMENT = {"PATH": os.defpath, "ONLY": "this"}


def command(program: str, *arguments: str, prompt: str = "What is it?", seconds: float = 20.0) -> CaptionSettings:
    argv = (sys.executable, "-I", "-S", "-c", program, *(arguments or ("{file}",)))
    return CaptionSettings("", "m", prompt, timeout_seconds=seconds, command=argv)


def describe(settings: CaptionSettings, path: Path) -> str:
    return CaptionCommand(settings, ENVIRONMENT).describe(path)


def is_there(pid: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_path_is_an_argument_and_the_output_is_the_caption(tmp_path: Path):
    path = tmp_path / "a; touch $(id) 'b'.png"
    path.write_bytes(b"a cat")
    text = "import sys; print('<think>hm</think> ', open(sys.argv[1][3:], 'rb').read().decode(), len(sys.argv))"
    assert describe(command(text, "-f={file}"), path) == "a cat 2"
    assert list(tmp_path.iterdir()) == [path]


def test_environment_has_prompt_and_model_and_nothing_of_the_service(tmp_path: Path):
    text = "import os; print(sorted(os.environ), os.environ['CAPTION_PROMPT'], os.environ['CAPTION_MODEL'])"
    result = describe(command(text, "{file}", prompt="--help\0"), tmp_path / "x")
    assert result.endswith("--help  m")
    assert not {"HOME", "USER", "PYTHONPATH"} & set(result.replace("'", "").strip("[]").replace("]", ",").split(", "))
    assert "ONLY" in result


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import sys; print('a cat'); sys.exit('no model is there')", "code 1: no model is there"),
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("import sys; print('gone', file=sys.stderr)", "empty: gone"),
    ],
)
def test_failure_quotes_the_commands_errors(tmp_path: Path, program: str, why: str):
    with pytest.raises(Refused, match=why):
        describe(command(program), tmp_path / "x")


def test_endless_output_is_rejected(tmp_path: Path):
    with pytest.raises(Refused, match="output is too long"):
        describe(command("import os\nwhile True: os.write(1, b'x' * 65536)"), tmp_path / "x")
    assert describe(command(f"import os; os.write(2, b'x' * {2 * MAX_ANSWER}); print('a cat')"), tmp_path / "x")


@pytest.mark.parametrize("shuts", ["", "os.close(1); os.close(2); "])
def test_slow_command_is_killed_with_its_children(tmp_path: Path, shuts: str):
    program = f"import os, time; p = os.fork(); open('pids', 'a').write(f'{{os.getpid()}} '); {shuts}time.sleep(60)"
    started_at = time.monotonic()
    with pytest.raises(Unreachable, match="longer than 1 s"):
        describe(command(program, seconds=1.0), tmp_path / "x")
    assert time.monotonic() - started_at < 10 + BUSY_SECONDS
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 30
    while any(map(is_there, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_there, pids))


def test_remaining_child_is_not_waited_for(tmp_path: Path):
    started_at = time.monotonic()
    program = "import os, time\nif os.fork(): print('a cat', flush=True)\nelse: time.sleep(60)"
    assert describe(command(program), tmp_path / "x") == "a cat"
    assert time.monotonic() - started_at < 20


def test_command_is_killed_when_the_task_stops(tmp_path: Path):
    sleeping = command("import time; time.sleep(60)")
    with pytest.raises(StopRequested):
        CaptionCommand(sleeping, ENVIRONMENT, lambda: True).describe(tmp_path / "x")


def test_command_that_cannot_be_started_is_unreachable(tmp_path: Path):
    with pytest.raises(Unreachable, match="cannot be started"):
        describe(replace(command(""), command=("/nowhere/caption", "{file}")), tmp_path / "x")
