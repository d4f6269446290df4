"""Edits at the same time."""

import pytest

from api.datasets import retrying
from api.datasets.retrying import edit_newest
from api.errors import DatasetChanged


class Contested:
    """An edit that others come before so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise DatasetChanged("somebody else was first")
        return "edited"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "_MOST_PAUSE_SECONDS", 0)


def test_edit_of_the_newest_version_is_done_again_when_another_was_first():
    assert edit_newest(None, Contested(5)) == "edited"


@pytest.mark.parametrize(("expected", "times"), [(3, 1), (None, 1000)])
def test_edit_of_one_version_is_refused_and_so_is_one_that_never_comes_first(expected: int | None, times: int):
    with pytest.raises(DatasetChanged):
        edit_newest(expected, Contested(times))
