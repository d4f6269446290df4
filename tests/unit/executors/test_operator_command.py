"""The operator's command: run to its end, without a shell, in bounded time."""

import sys

import pytest

from api.executors.operator_command import run_command

PYTHON = sys.executable


def test_one_that_ends_well_says_nothing():
    assert run_command((PYTHON, "-c", "pass"), {}) is None


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((PYTHON, "-c", "import sys; sys.exit('not\\n permitted')"), "ended with 1: not permitted"),
        (("/nowhere/off",), "cannot be run: No such file or directory"),
        ((PYTHON, "-c", "import sys; sys.exit(3)", "; echo $HOME"), "ended with 3"),
    ],
    ids=["its words", "absent", "no words"],
)
def test_one_that_fails_says_why(argv: tuple[str, ...], words: str):
    assert words in str(run_command(argv, {}))


def test_one_that_does_not_end_is_ended():
    assert "took longer" in str(run_command((PYTHON, "-c", "import time; time.sleep(60)"), {}, seconds=0.2))


def test_it_gets_the_environment_that_it_is_given_and_no_other():
    code = "import os, sys; sys.exit(0 if os.environ.get('A') == '1' and 'HOME' not in os.environ else 1)"
    assert run_command((PYTHON, "-c", code), {"A": "1"}) is None
