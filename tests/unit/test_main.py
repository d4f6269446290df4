"""Settings of the process at the start; tests/e2e covers the rest."""

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

import api.main


@pytest.fixture(autouse=True)
def collector_disabled() -> Iterator[None]:
    """The state in which run.py loads modules."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the limits of this process."""
    monkeypatch.setattr(api.main, "_set_limits", lambda: None)
    monkeypatch.setattr(api.main, "_share_one_heap", lambda: None)
    monkeypatch.setattr(api.main, "set_up_logging", lambda *how: None)
    monkeypatch.setattr("os.umask", lambda mask: None)


def test_node_enables_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.commands.node.run_node", lambda config: int(gc.isenabled()))
    assert api.main.main(["--role", "node", "--head-url", "http://127.0.0.1:9"]) == 1


def test_command_enables_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(api.main._COMMANDS, "worker", lambda words: int(gc.isenabled()))
    assert api.main.main(["worker"]) == 1


@pytest.mark.parametrize("words", [[], ["serve"]])
def test_serve_is_the_default_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.main, "_serve", lambda config: config.port)
    assert api.main.main([*words, "--port", "8123"]) == 8123


def test_command_comes_before_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert api.main.main(["--port", "8123", "serve"]) == 2
    assert "unrecognized arguments: serve" in capsys.readouterr().err


def test_start_does_not_load_numpy() -> None:
    check = "import sys, api.composition.composition; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
