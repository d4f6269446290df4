"""Concurrent edits."""

import pytest

from api.datasets import retrying
from api.datasets.retrying import edit_newest
from api.errors import DatasetChanged


class Contested:
    """An edit that loses against other edits this many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise DatasetChanged("another writer was first")
        return "edited"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "_MOST_PAUSE_SECONDS", 0)


def test_edit_of_the_newest_version_is_retried_when_another_was_first():
    assert edit_newest(None, Contested(5)) == "edited"


@pytest.mark.parametrize(("expected", "times"), [(3, 1), (None, 1000)])
def test_edit_of_a_certain_version_fails_and_so_does_one_that_always_loses(expected: int | None, times: int):
    with pytest.raises(DatasetChanged):
        edit_newest(expected, Contested(times))
