"""Start, refused start, and end of a server."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.e2e.conftest import Start
from tests.e2e.server import ROOT, ServerProcess, command, environment, until
from tests.patience import BUSY_SECONDS

#: In seconds: far less than clients stay connected, also on a busy machine.
ENDS_WITHIN = 5.0 + BUSY_SECONDS


def run(tmp_path: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=tmp_path,
        env=environment({"GPU_SOURCE": "simulated", **settings}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.quick
def test_first_line_reports_the_address_and_the_devices(server: ServerProcess) -> None:
    [line] = [line for line in server.log() if line["message"].startswith("listening on")]
    assert line["message"] == f"listening on http://127.0.0.1:{server.port}"
    assert line["docs"] == f"http://127.0.0.1:{server.port}/docs"
    assert line["gpus"].startswith("simulated: 4")
    assert {"version", "database", "log_level"} <= line.keys()


def test_first_line_warns_if_the_storage_depends_on_the_current_directory(server: ServerProcess, start: Start) -> None:
    [absolute] = [line for line in server.log() if line["message"].startswith("listening on")]
    assert absolute["storage"] == str(server.directory / "data")
    moving = start(STORAGE_ROOT="kept")
    [relative] = [line for line in moving.log() if line["message"].startswith("listening on")]
    assert (
        relative["storage"]
        == f"{moving.directory / 'kept'} (relative to the current directory; set STORAGE_ROOT to change it)"
    )


def test_impossible_database_is_reported_in_one_line_with_code_1(tmp_path: Path) -> None:
    ended = run(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/missing/database.sqlite")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert f"create the directory {tmp_path}/missing" in ended.stderr


@pytest.mark.parametrize("how", [["run.py"], ["-m", "api"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_while_modules_load_ends_quietly(tmp_path: Path, how: list[str], number: signal.Signals) -> None:
    arguments = [sys.executable, *how, "--port", "0", "--storage-root", str(tmp_path)]
    with subprocess.Popen(arguments, cwd=ROOT, env=environment({}), stderr=subprocess.PIPE, text=True) as process:
        try:
            # One of the first libraries to be loaded, long before the server starts.
            until(lambda: "orjson" in Path(f"/proc/{process.pid}/maps").read_text() or process.poll() is not None)
            process.send_signal(number)
            assert (process.communicate(timeout=60)[1], process.returncode) == ("", 0)
        finally:
            process.kill()


@pytest.mark.quick
def test_occupied_port_is_reported_in_one_line_with_code_1(server: ServerProcess, tmp_path: Path) -> None:
    second = run(tmp_path, "--port", str(server.port))
    assert (second.returncode, second.stderr.count("\n")) == (1, 1)
    assert f"127.0.0.1:{server.port}" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "settings", "named"),
    [
        (["--port", "70000"], {}, "API_PORT"),
        (["--no-such-flag"], {}, "--no-such-flag"),
        ([], {"SIMULATED_GPUS": "0x nothing"}, "GPU"),
        (["--host", "0.0.0.0"], {}, "ALLOW_UNAUTHENTICATED"),
    ],
)
def test_invalid_setting_is_reported_in_one_line_with_code_2(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], named: str
) -> None:
    ended = run(tmp_path, *arguments, **settings)
    assert (ended.returncode, ended.stderr.count("\n"), ended.stdout) == (2, 1, "")
    assert named in ended.stderr


@pytest.mark.quick
def test_all_invalid_settings_are_reported_together(tmp_path: Path) -> None:
    ended = run(tmp_path, "--port", "x", LOG_LEVEL="LOUD", GPU_SOURCE="amd")
    assert all(name in ended.stderr for name in ("API_PORT", "LOG_LEVEL", "GPU_SOURCE"))


def test_address_of_another_machine_is_reported_in_one_line_with_code_1(tmp_path: Path) -> None:
    ended = run(tmp_path, "--host", "192.0.2.1", "--port", "0", ALLOW_UNAUTHENTICATED="1")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)


def test_unresolvable_name_is_reported_in_one_line_with_code_1(tmp_path: Path) -> None:
    ended = run(tmp_path, "--host", "no-such-host.invalid", "--port", "0", ALLOW_UNAUTHENTICATED="1")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)


@pytest.mark.quick
def test_help_lists_every_setting_with_its_default(tmp_path: Path) -> None:
    ended = run(tmp_path, "--help")
    assert ended.returncode == 0
    for name in ("API_PORT", "GPU_SOURCE", "GPU_MONITOR_INTERVAL", "MAX_BODY_BYTES", "default: 8080"):
        assert name in ended.stdout


def test_dotenv_file_is_read_and_an_option_overrides_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=LOUD\nGPU_MONITOR_INTERVAL=0\n")
    ended = run(tmp_path, "--log-level", "INFO", "--port", "0")
    assert "GPU_MONITOR_INTERVAL" in ended.stderr
    assert "LOG_LEVEL" not in ended.stderr


@contextmanager
def open_streams(server: ServerProcess) -> Iterator[None]:
    """Open three reading subscribers of each kind, and one half-sent request."""
    address = ("127.0.0.1", server.port)
    with ExitStack() as stack:
        half = stack.enter_context(socket.create_connection(address))
        half.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        threads = []
        for _ in range(3):
            sse = stack.enter_context(socket.create_connection(address))
            sse.sendall(b"GET /api/v1/gpu/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert sse.recv(16).startswith(b"HTTP/1.1 200")
            web = stack.enter_context(connect(f"ws://127.0.0.1:{server.port}/api/v1/ws/gpu"))
            web.recv(timeout=30)
            threads.append(threading.Thread(target=drain, args=(sse,)))
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join(10)


def drain(sock: socket.socket) -> None:
    try:
        while sock.recv(65536):
            pass
    except OSError:
        return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_with_open_streams_ends_with_0_in_time(start: Start, number: signal.Signals) -> None:
    server = start()
    with open_streams(server):
        server.send_signal(number)
        assert server.wait(ENDS_WITHIN) == 0
    assert server.tracebacks() == []
    assert server.log()[-1]["message"] == "ended"


def test_signal_during_the_start_ends_quietly(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        child = subprocess.Popen(
            command("--port", "0"), cwd=tmp_path, env=environment({"GPU_SOURCE": "simulated"}), stderr=file
        )
        until(lambda: child.poll() is not None or "python" in Path(f"/proc/{child.pid}/comm").read_text())
        child.terminate()
        child.wait(ENDS_WITHIN)
    assert "Traceback" not in log.read_text()


def test_signal_right_after_the_first_line_ends_with_0(start: Start) -> None:
    # Several, as only some hit the moment between the line and the server's own signal handlers.
    for _ in range(3):
        server = start()
        server.send_signal(signal.SIGTERM)
        assert server.wait(ENDS_WITHIN) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_server_restarts_immediately_on_the_same_port(start: Start, number: signal.Signals) -> None:
    server = start()
    port = server.port
    with open_streams(server):
        server.send_signal(number)
        server.wait()
        server.start(port)
    assert (server.port, server.client.get("/health").status_code) == (port, 200)


def test_stored_files_are_accessible_only_to_their_user(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    with ServerProcess(tmp_path) as server:
        server.gpus()
        kept = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
        assert any(path.name == "database.sqlite" for path in kept)
        assert [str(path) for path in kept if path.lstat().st_mode & 0o077] == []
