"""The operator's command: run to its end, without a shell, in bounded time."""

import sys

import pytest

from api.executors.bounded_program import run_command

PYTHON = sys.executable


def test_successful_command_returns_none():
    assert run_command((PYTHON, "-c", "pass"), {}) is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((PYTHON, "-c", "import sys; sys.exit('not\\n permitted')"), "ended with 1: not permitted"),
        (("/nowhere/off",), "cannot be run: No such file or directory"),
        ((PYTHON, "-c", "import sys; sys.exit(3)", "; echo $HOME"), "ended with 3"),
    ],
    ids=["with message", "missing program", "without message"],
)
def test_failed_command_returns_the_reason(argv: tuple[str, ...], message: str):
    assert message in str(run_command(argv, {}))


def test_endless_command_is_killed():
    assert "took longer" in str(run_command((PYTHON, "-c", "import time; time.sleep(60)"), {}, seconds=0.2))


def test_command_gets_only_the_given_environment():
    code = "import os, sys; sys.exit(0 if os.environ.get('A') == '1' and 'HOME' not in os.environ else 1)"
    assert run_command((PYTHON, "-c", code), {"A": "1"}) is None
