"""Attempts that end with the test, however it ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.supervisor.attempts import Attempts


@pytest.fixture
def attempts(tmp_path: Path) -> Iterator[Attempts]:
    made = Attempts(tmp_path)
    try:
        yield made
    finally:
        made.clean_up()
