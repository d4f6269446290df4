"""In which order tasks of equal priority are served: whose owner used fewer GPUs in the last day goes first. Pure."""

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from api.domain.training import TaskSummary
from api.domain.usage import Account, Owner

#: Seconds for which a GPU counts that was given away just now: nobody knows yet how long it will be used.
ASSUMED_SECONDS = 3600.0

#: The accounts of a service without keys, where nobody owns a task: priority and age decide alone.
NOT_SHARED: Mapping[Owner, Account] = {}


class FairLine:
    """A queue as its tasks are served. Each owner has a line of its own, by age, and the lines take turns."""

    def __init__(self, queue: Sequence[TaskSummary], accounts: Mapping[Owner, Account]) -> None:
        """`queue` is in the order of priority, then age; where there is one owner it stays in that order."""
        self._queue = queue
        self._used = {owner: account.gpu_seconds for owner, account in accounts.items()}
        self._is_shared = bool(accounts)

    def __iter__(self) -> Iterator[TaskSummary]:
        """The next task each time; what was charged meanwhile counts."""
        if not self._is_shared:
            yield from self._queue
            return
        for _, level in groupby(enumerate(self._queue), key=lambda placed: placed[1].priority):
            yield from self._take_turns(level)

    def _take_turns(self, level: Iterator[tuple[int, TaskSummary]]) -> Iterator[TaskSummary]:
        lines: dict[Owner, deque[tuple[int, TaskSummary]]] = {}
        for place, task in level:
            lines.setdefault(task.owner, deque()).append((place, task))
        heads = [(self._used.get(owner, 0.0), line[0][0], line) for owner, line in lines.items()]
        # Places differ, so that two lines are never compared.
        heapq.heapify(heads)
        while heads:
            _, _, line = heapq.heappop(heads)
            _, task = line.popleft()
            yield task
            if line:
                heapq.heappush(heads, (self._used.get(task.owner, 0.0), line[0][0], line))

    def charge(self, task: TaskSummary) -> None:
        """Counts the GPUs that a task gets, or that are kept for it, among what its owner has used; the place of one
        that needs none counts as one GPU.
        """
        self._used[task.owner] = self._used.get(task.owner, 0.0) + max(1, task.gpu_count) * ASSUMED_SECONDS


def by_places(accounts: Mapping[Owner, Account], places: Mapping[Owner, int]) -> Mapping[Owner, Account]:
    """The accounts by which tasks without GPUs take turns: whose owner has fewer of the `places` now goes first."""
    return {
        owner: replace(account, gpu_seconds=places.get(owner, 0) * ASSUMED_SECONDS)
        for owner, account in accounts.items()
    }


def in_fair_order(queue: Sequence[TaskSummary], accounts: Mapping[Owner, Account]) -> list[TaskSummary]:
    """The queue in the order in which its tasks are served as GPUs come free."""
    line, served = FairLine(queue, accounts), []
    for task in line:
        line.charge(task)
        served.append(task)
    return served
