"""Each test worker starts with slow files and runs each of them completely."""

from itertools import groupby

from tests.ordering import SLOW, for_workers


def file_of(item: str) -> str:
    return item.partition("::")[0]


QUICK = [f"tests/unit/test_{n}.py::test_{m}" for n in range(30) for m in range(9)]
SLOW_ONES = [f"{folder}test_{n}.py::test_{m}" for folder in SLOW for n in range(6) for m in range(4)]


def test_every_test_runs_exactly_once() -> None:
    items = QUICK[:100] + SLOW_ONES + QUICK[100:]
    for workers in range(1, 8):
        assert sorted(for_workers(items, workers, file_of)) == sorted(items)
    assert for_workers([], 4, file_of) == []


def test_each_worker_starts_with_whole_slow_files_and_ends_with_quick_tests() -> None:
    ordered = for_workers(QUICK[:100] + SLOW_ONES + QUICK[100:], 3, file_of)
    files = [file for file, _ in groupby(ordered, key=file_of) if file.startswith(SLOW)]
    assert len(files) == len(set(files)) == len(SLOW) * 6
    size = len(ordered) // 3
    for part in (ordered[:size], ordered[size : 2 * size], ordered[2 * size :]):
        are_slow = [item.startswith(SLOW) for item in part]
        assert are_slow == [True] * 32 + [False] * (size - 32)
        assert part[0].startswith(SLOW[0])


def test_mostly_slow_tests_keep_their_files_together() -> None:
    ordered = for_workers(SLOW_ONES + QUICK[:2], 4, file_of)
    files = [file for file, _ in groupby(ordered, key=file_of) if file.startswith(SLOW)]
    assert len(files) == len(set(files)) == len(SLOW) * 6
