"""The recorded state of the output after a kill at any time."""

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


def test_only_later_supervisors_find_a_record(path: str) -> None:
    assert Ledger(path).open() is False
    assert Ledger(path).open() is True


def test_copied_bytes_are_derived_from_the_length_of_the_log(path: str) -> None:
    first = opened(path)
    first.taken = 10
    first.save(log_end=10)
    # It copied 5 more bytes and was killed before it could record them.
    second = opened(path)
    assert second.settle(log_end=15) == 15
    assert (second.taken, second.lost) == (15, 0)


def test_dropped_bytes_stay_dropped_and_unreported(path: str) -> None:
    first = opened(path)
    first.save(log_end=0)
    first.drop(7, log_end=0)
    second = opened(path)
    second.settle(log_end=0)
    assert (second.taken, second.lost, second.unreported) == (7, 7, 7)


@pytest.mark.parametrize(
    ("log_end", "kept_end", "unreported"), [(100, 100, 7), (110, 100, 7), (120, 120, 0), (125, 125, 0)]
)
def test_inserted_line_is_complete_or_undone(path: str, log_end: int, kept_end: int, unreported: int) -> None:
    first = opened(path)
    first.save(log_end=100)
    first.drop(7, log_end=100)
    first.begin_line(log_end=100, length=20)
    second = opened(path)
    assert second.settle(log_end) == kept_end
    assert second.unreported == unreported
    # Bytes after the line were copied later.
    assert second.taken == 7 + max(0, log_end - 120)


def test_shorter_log_undoes_nothing(path: str) -> None:
    first = opened(path)
    first.taken = 10
    first.save(log_end=10)
    second = opened(path)
    second.settle(log_end=3)
    assert second.taken == 10


def test_removed_ledger_is_recreated_and_removed_at_the_end(path: str) -> None:
    ledger = opened(path)
    Path(path).unlink()
    ledger.recreate()
    ledger.taken = 4
    ledger.save(log_end=4)
    assert opened(path).taken == 4
    ledger.remove()
    assert not Path(path).exists()


def test_ledger_without_a_path_only_counts() -> None:
    ledger = Ledger()
    assert ledger.open() is False
    ledger.drop(3, 0)
    ledger.remove()
    assert (ledger.taken, ledger.lost) == (3, 3)
