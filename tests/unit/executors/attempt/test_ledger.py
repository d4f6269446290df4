"""What is known of the output after a kill, whenever it came."""

from pathlib import Path

import pytest

from api.executors.attempt.ledger import Ledger


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "output.ledger")


def opened(path: str) -> Ledger:
    ledger = Ledger(path)
    ledger.open()
    return ledger


def test_the_first_finds_no_record_and_the_next_one_does(path: str) -> None:
    assert Ledger(path).open() is False
    assert Ledger(path).open() is True


def test_what_was_copied_is_told_by_the_length_of_the_log(path: str) -> None:
    first = opened(path)
    first.taken = 10
    first.save(log_end=10)
    # It copied 5 bytes more and was killed before it could say so.
    second = opened(path)
    assert second.settle(log_end=15) == 15
    assert (second.taken, second.lost) == (15, 0)


def test_what_was_dropped_stays_dropped_and_is_untold(path: str) -> None:
    first = opened(path)
    first.save(log_end=0)
    first.drop(7, log_end=0)
    second = opened(path)
    second.settle(log_end=0)
    assert (second.taken, second.lost, second.unsaid) == (7, 7, 7)


@pytest.mark.parametrize(
    ("log_end", "kept_end", "unsaid"), [(100, 100, 7), (110, 100, 7), (120, 120, 0), (125, 125, 0)]
)
def test_a_line_of_ours_is_whole_or_taken_back(path: str, log_end: int, kept_end: int, unsaid: int) -> None:
    first = opened(path)
    first.save(log_end=100)
    first.drop(7, log_end=100)
    first.begin_line(log_end=100, length=20)
    second = opened(path)
    assert second.settle(log_end) == kept_end
    assert second.unsaid == unsaid
    # What stands behind the line was copied after it.
    assert second.taken == 7 + max(0, log_end - 120)


def test_a_log_that_is_shorter_takes_nothing_back(path: str) -> None:
    first = opened(path)
    first.taken = 10
    first.save(log_end=10)
    second = opened(path)
    second.settle(log_end=3)
    assert second.taken == 10


def test_one_that_was_removed_is_made_again_and_at_the_end_it_is_gone(path: str) -> None:
    ledger = opened(path)
    Path(path).unlink()
    ledger.begin_again()
    ledger.taken = 4
    ledger.save(log_end=4)
    assert opened(path).taken == 4
    ledger.remove()
    assert not Path(path).exists()


def test_without_a_path_it_only_counts() -> None:
    ledger = Ledger()
    assert ledger.open() is False
    ledger.drop(3, 0)
    ledger.remove()
    assert (ledger.taken, ledger.lost) == (3, 3)
