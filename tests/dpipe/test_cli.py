"""The command line against a real service: in a pipe, in a terminal, without a server, interrupted."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from dpipe import aio
from dpipe.cli import app, show
from dpipe.cli.session import Session
from dpipe.cli.show import clean, escape_control
from dpipe.client import Training, Trainings
from tests.dpipe.conftest import MARKUP
from tests.e2e.server import ROOT, environment, until
from tests.e2e.training_server import TrainingServer
from tests.own_service import free_port, wait_for

pytestmark = pytest.mark.slow

SOURCE = ROOT / "dpipe" / "src"
ESCAPE = "\x1b"
TOY = """
epochs = 1
[model]
type = 'toy'
[toy]
steps_per_epoch = {steps}
step_seconds = 0.02
load_seconds = 0.05
cache_seconds = 0.05
{more}
"""


def config(folder: Path, steps: int = 20, more: str = "checkpoint_every_n_steps = 10") -> str:
    path = folder / f"{steps}-{abs(hash(more))}.toml"
    path.write_text(TOY.format(steps=steps, more=more))
    return str(path)


def call(settings: dict[str, str], *arguments: str, entered: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=entered, env={"NO_COLOR": None, **settings}, prog_name="dpipe")


def answers(address: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


def read(settings: dict[str, str], *arguments: str) -> Any:
    result = call(settings, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from dpipe.cli import main; main()", *arguments]


def process_environment(settings: dict[str, str], **more: str) -> dict[str, str]:
    return environment({"PYTHONPATH": str(SOURCE), "LANG": "C.UTF-8", **settings, **more})


@contextlib.contextmanager
def in_terminal(
    settings: dict[str, str], *arguments: str, **more: str
) -> Iterator[tuple[subprocess.Popen[bytes], Any, Any]]:
    """Run a command in a terminal of 80 columns and 24 rows; yield it, and functions that read its screen and type."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = process_environment(settings, **{"TERM": "xterm-256color", **more})
    command = program(*arguments)
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=env, close_fds=True)
    os.close(follower)
    os.set_blocking(leader, False)
    seen = bytearray()

    def shown(text: str | None) -> str:
        """Return all output as soon as it contains the text, or without a text at the end."""

        def poll() -> bool:
            ended = process.poll() is not None
            with contextlib.suppress(OSError):
                while piece := os.read(leader, 65536):
                    seen.extend(piece)
            return ended if text is None else text in seen.decode(errors="replace")

        until(poll, what=str(text))
        return seen.decode(errors="replace")

    try:
        yield process, shown, lambda keys: os.write(leader, keys)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(leader)


def test_status_counts_many_gpus_and_top_shows_each(settings: dict[str, str]) -> None:
    result = call(settings, "status")
    assert result.exit_code == 0
    assert re.search(r"GPUs +64, \d+ available", result.stdout)
    assert re.search(r"\d+ × H100 80GB HBM3 available", result.stdout)
    rows = [line.split("\t") for line in call(settings, "top", "-n", "1").stdout.splitlines() if "H100" in line]
    assert [row[0] for row in rows] == [str(index) for index in range(64)]
    found = read(settings, "status")
    assert found["overview"]["gpus"]["total"] == len(found["gpus"]) == 64


def test_texts_of_others_do_not_steer_the_terminal(settings: dict[str, str], training: str) -> None:
    [line] = [line for line in call(settings, "ls").stdout.splitlines() if training in line]
    assert line.endswith(f"\t{MARKUP}")
    hostile = f"{ESCAPE}]0;title\x07\x9b31m\u202eend"
    assert clean(hostile) == "\ufffd]0;title\ufffd\ufffd31m\ufffdend"
    raw = escape_control(json.dumps(hostile, ensure_ascii=False))
    assert raw.isascii()
    assert json.loads(raw) == hostile


def test_log_is_printed_and_searched(settings: dict[str, str], training: str) -> None:
    assert len(call(settings, "logs", training, "--tail", "3").stdout.splitlines()) == 3
    found = call(settings, "logs", training, "--search", "steps: 7 ").stdout
    assert found.startswith("steps: 7 ")
    lines = [json.loads(line) for line in call(settings, "logs", training, "-f", "--json").stdout.splitlines()]
    assert any(line["message"].startswith("steps: 20 ") for line in lines)


def test_files_and_samples_are_downloaded(settings: dict[str, str], training: str, tmp_path: Path) -> None:
    found = read(settings, "download", training, "--to", str(tmp_path))
    assert Path(found["path"]).name == "bold-red-epoch1.safetensors"
    assert Path(found["path"]).stat().st_size == found["size_bytes"] > 0
    samples = read(settings, "samples", training, "--to", str(tmp_path / "samples"))
    assert sorted(Path(each["path"]) for each in samples) == sorted((tmp_path / "samples").glob("*.png"))
    assert len(samples) == 2
    missing = call(settings, "download", training, "nothing.safetensors", "--to", str(tmp_path))
    assert missing.exit_code == 1
    assert "nothing.safetensors does not exist" in missing.stderr


def test_failed_training_has_cause_remedy_and_exit_code_and_is_compared(
    settings: dict[str, str], training: str, tmp_path: Path
) -> None:
    more = "fail_at_step = 2\nfail_with = 'cuda_oom'"
    result = call(settings, "train", config(tmp_path, 5, more), "--follow")
    assert result.exit_code == 1
    assert "steps: 1 " in result.stdout
    assert "is failed" in result.stderr
    assert "→" in result.stderr
    shown = call(settings, "compare", training, result.stdout.split()[0]).stdout
    rows = [line.split("\t") for line in shown.splitlines()]
    assert [row[3] for row in rows if row[0] in ("1", "2")] == ["20/20", "1/5"]
    assert ["/config/toy/steps_per_epoch", "20", "5"] in rows


def test_six_compared_trainings_fit_into_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    cli = Session(None, None, as_json=False)
    cli.out = Console(width=80, force_terminal=True, no_color=True, markup=False, highlight=False)
    loss = {"last": 0.12345, "lowest": 0.01234}
    known = {"task_id": "train_0123456789abcdef", "status": "completed", "step": 20_000, "total_steps": 20_000}
    tasks = [{**known, "duration": 9e4, "losses": [loss], "name": "A long name", "number": i + 1} for i in range(6)]
    cli.table(show.COMPARED, tasks)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert all("0.01234" in line and len(line) <= 80 for line in lines[1:])


def test_plan_lists_every_mistake(settings: dict[str, str], tmp_path: Path) -> None:
    assert read(settings, "plan", config(tmp_path))["plan"]["total_steps"] == 20
    result = call(settings, "plan", config(tmp_path, -1, "nonsense = 1"))
    assert result.exit_code == 1
    assert "steps_per_epoch" in result.stdout
    assert "nonsense" in result.stdout
    refused = call(settings, "train", config(tmp_path, -1, "nonsense = 1"))
    assert refused.exit_code == 1
    assert "nonsense" in refused.stderr
    assert refused.stdout == ""


def test_folder_is_uploaded_and_checked(settings: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "cats"
    folder.mkdir()
    (folder / "1.png").write_bytes((ROOT / "docs" / "pictures" / "task-dark.png").read_bytes())
    (folder / "1.txt").write_text("a cat")
    assert read(settings, "upload", str(folder))["name"] == "cats"
    result = call(settings, "check", "cats")
    assert result.exit_code == 0, result.output
    assert "cats@1: 1 items" in result.stdout


@pytest.mark.parametrize("as_json", [False, True])
def test_wrong_key_is_named_with_a_remedy(settings: dict[str, str], as_json: bool) -> None:
    result = call({**settings, "DPIPE_KEY": "dp_wrong"}, "ls", *(["--json"] if as_json else []))
    assert result.exit_code == 4
    if as_json:
        error = json.loads(result.stdout)["error"]
        assert error["status"] == 401
        assert "dpipe login" in error["remedy"]
    else:
        assert "dpipe login" in result.stderr
        assert result.stdout == ""


@pytest.mark.quick
def test_unreachable_server_is_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio, "pause", lambda *_: None)
    address = f"http://127.0.0.1:{free_port()}"
    result = call({"DPIPE_URL": address}, "status")
    assert result.exit_code == 3
    assert address in result.stderr
    assert "DPIPE_URL" in result.stderr


@pytest.mark.quick
def test_wrong_usage_is_exit_2() -> None:
    assert call({}, "compare").exit_code == 2
    assert call({}, "nope").exit_code == 2


def test_empty_id_is_not_the_newest_training(settings: dict[str, str], training: str) -> None:
    for name in ("logs", "open", "stop"):
        result = call(settings, name, "")
        assert (result.exit_code, result.stdout) == (1, "")
    assert "Start one" not in call(settings, "ls", "--search", "no-such-training").stderr


def test_argument_that_is_not_utf8_is_not_blamed_on_the_server(settings: dict[str, str], tmp_path: Path) -> None:
    result = call(settings, "train", config(tmp_path), "--name", "\udcff")
    assert result.exit_code == 1
    assert "An argument is not UTF-8." in result.stderr


def test_occupied_port_of_mcp_is_not_an_unreachable_server(settings: dict[str, str]) -> None:
    pytest.importorskip("mcp")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = call(settings, "mcp", "--http", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 1
    assert "--port" in result.stderr


def test_login_stores_only_what_works(settings: dict[str, str], tmp_path: Path) -> None:
    mine = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": None, "DPIPE_URL": None, "DPIPE_KEY": None}
    assert call(mine, "login", settings["DPIPE_URL"], entered="dp_wrong\n").exit_code == 4
    assert list(tmp_path.iterdir()) == []
    result = call(mine, "login", settings["DPIPE_URL"], entered=settings["DPIPE_KEY"] + "\n")
    assert result.exit_code == 0, result.output
    assert settings["DPIPE_KEY"] not in result.output
    [file] = tmp_path.rglob("config.toml")
    assert file.stat().st_mode & 0o777 == 0o600
    assert call(mine, "ls").exit_code == 0
    file.write_text("url = [")
    assert call(mine, "ls").exit_code == 1
    assert call(mine, "login", settings["DPIPE_URL"], entered=settings["DPIPE_KEY"] + "\n").exit_code == 0
    assert call(mine, "ls").exit_code == 0


@pytest.mark.quick
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_shells(shell: str) -> None:
    assert "dpipe" in call({"_DPIPE_COMPLETE": f"source_{shell}"}).stdout


def test_reader_that_leaves_ends_quietly(settings: dict[str, str]) -> None:
    env = process_environment(settings)
    with subprocess.Popen(
        program("top", "-i", "0.5"), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"GPU\t")
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_interrupted_follower_leaves_the_training_which_is_stopped_and_resumed(
    settings: dict[str, str], server: TrainingServer, tmp_path: Path
) -> None:
    env = process_environment(settings)
    command = program("train", config(tmp_path, 30_000), "--follow")
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        task_id = process.stdout.readline().decode().split()[0]
        next(line for line in process.stdout if line.startswith(b"steps: "))
        process.send_signal(signal.SIGINT)
        _, notes = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"{task_id} continues" in notes.decode()
    assert b"Traceback" not in notes
    assert server.task(task_id)["status"] == "running"
    assert read(settings, "stop", task_id, "--wait")["status"] == "stopped"
    assert read(settings, "resume", task_id)["status"] in ("queued", "starting", "running")
    assert read(settings, "stop", task_id, "--force", "--wait")["status"] == "stopped"


def test_terminal_of_80_columns_with_and_without_colors(settings: dict[str, str], training: str) -> None:
    with in_terminal(settings, "top", "-i", "30") as (process, shown, press):
        colored = shown(" 63 ")
        press(b"q")
        shown(None)
        assert process.returncode == 0
    assert "64 GPUs, " in colored
    assert f"{ESCAPE}[32m" in colored
    with in_terminal(settings, "status", NO_COLOR="1") as (process, shown, _):
        plain = shown(None)
        assert process.returncode == 0
    assert ESCAPE not in re.sub(rf"{ESCAPE}\[[012]?m", "", plain)
    for text in (colored, plain):
        lines = re.sub(rf"{ESCAPE}\[[\d;?]*[a-zA-Z]", "", text).replace("\r", "").split("\n")
        assert max(map(len, lines)) <= 80, lines


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without a server."""
    address = {"DPIPE_URL": f"http://127.0.0.1:{free_port()}", "HOME": str(tmp_path), "DPIPE_SERVICE": str(ROOT)}
    service = {"GPU_SOURCE": "simulated", "MIN_FREE_DISK_MB": "0", "GPU_MONITOR_INTERVAL": "0.2"}
    return process_environment(address | service, STORAGE_ROOT=str(tmp_path / "data"))


@pytest.fixture
def signals() -> Iterator[None]:
    """Restore the handlers that `dpipe run` replaces."""
    names = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(name) for name in names]
    yield
    for name, handler in zip(names, before, strict=True):
        signal.signal(name, handler)


@pytest.mark.usefixtures("signals")
def test_run_uses_a_server_that_runs(settings: dict[str, str], tmp_path: Path) -> None:
    result = call(settings, "run", config(tmp_path, 2))
    assert result.exit_code == 0, result.output
    assert "There is a server at" in result.stderr
    assert "steps: 2 " in result.stdout
    assert "completed after" in result.stderr


@pytest.mark.usefixtures("signals")
def test_run_that_is_interrupted_before_the_answer_stops_what_it_started(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Training] = []
    start = Trainings.start

    def interrupted(*arguments: Any, **options: Any) -> Training:
        made.append(start(*arguments, **options))
        if len(made) == 1:
            raise KeyboardInterrupt
        return made[-1]

    monkeypatch.setattr(Trainings, "start", interrupted)
    result = call(settings, "run", config(tmp_path, 30_000))
    assert result.exit_code == 130
    assert f"{made[0].id} is stopped" in result.stderr
    assert made[0].id == made[1].id


def test_interrupted_run_ends_training_and_server(alone: dict[str, str], tmp_path: Path) -> None:
    command = program("run", config(tmp_path, 30_000))
    with subprocess.Popen(command, env=alone, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith(b"steps: "))
        process.send_signal(signal.SIGINT)
        _, notes = process.communicate(timeout=60)
    assert process.returncode == 130, notes
    assert b"is stopped" in notes
    assert not answers(alone["DPIPE_URL"])


@pytest.mark.parametrize("is_started", [True, False], ids=["while it trains", "while the server starts"])
def test_server_of_a_killed_run_ends(alone: dict[str, str], tmp_path: Path, is_started: bool) -> None:
    command = program("run", config(tmp_path, 20))
    with subprocess.Popen(command, env=alone, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        children = psutil.Process(process.pid).children
        if is_started:
            next(line for line in process.stdout if line.startswith(b"steps: "))
        wait_for(lambda: bool(children()), lambda: "no server was started")
        (server,) = children()
        process.kill()
    assert psutil.wait_procs([server], timeout=30)[1] == []
    assert not answers(alone["DPIPE_URL"])
    # The training goes on without it.
    wait_for(lambda: not _processes_of(tmp_path), lambda: f"still there: {_processes_of(tmp_path)}", seconds=60)


def _processes_of(folder: Path) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline"])
    return [each for each in found if any(str(folder) in part for part in each.info["cmdline"] or ())]


@pytest.mark.quick
@pytest.mark.usefixtures("signals")
def test_run_without_a_service_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio, "pause", lambda *_: None)
    address = f"http://127.0.0.1:{free_port()}"
    result = call({"DPIPE_URL": address}, "run", config(tmp_path), "--service", str(tmp_path))
    assert result.exit_code == 3
    assert "DPIPE_SERVICE" in result.stderr
