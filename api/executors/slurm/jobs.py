"""Parse slurmrestd's data about jobs. Unreadable values are omitted; nothing here raises."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any

from api.util.text.terminal_text import show

#: States of a job that uses no node any more.
_OVER = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)

_NODE_LOST = frozenset({"BOOT_FAIL", "NODE_FAIL"})

_GPUS = re.compile(r"gpu(?::[^:(,]+)?:\d{1,5}\(IDX:([0-9,-]*)\)", re.ASCII)

#: Slurm's number of a job, also of a part: `8_1` of an array, `5+0` of a heterogeneous job.
_NUMBER = re.compile(r"(\d{1,10})(?:[_+].{0,40})?", re.ASCII)

#: The suffix of the comment of jobs that are submitted early.
EARLY_SUFFIX = " ahead"

_MOST_GPUS = 1_024

#: Maximum lengths of names and other texts, and of lists of nodes or GPUs.
_MOST_TEXT, _MOST_LIST = 1_000, 65_536

#: The valid range of Unix times.
_FIRST, _LAST = 0, 253_402_300_799


#: The most nodes from one text.
MOST_NODES = 10_000

#: Limits for brackets in one part and characters in a name.
_MOST_BRACKETS, _LONGEST = 4, 255

_PART = re.compile(r"[^,\[]+(?:\[[^\[\]]*\][^,\[]*)*")
_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})", re.ASCII)


@lru_cache(maxsize=64)
def expand(nodes: str) -> tuple[str, ...]:
    """Return the names, at most `MOST_NODES`; none from a truncated text."""
    if nodes.count("[") != nodes.count("]"):
        return ()
    # Limited before filtering: in a huge range all names may be too long.
    return tuple(name for name in islice(_names(nodes), MOST_NODES) if len(name) <= _LONGEST)


def _names(nodes: str) -> Iterator[str]:
    for part in _PART.findall(nodes):
        if part.count("[") <= _MOST_BRACKETS:
            yield from _expand(part)


def _expand(part: str) -> Iterator[str]:
    before, bracket, rest = part.partition("[")
    if not bracket:
        yield part
        return
    inside, _, after = rest.partition("]")
    for each in inside.split(","):
        for number in _numbers(each):
            yield from (f"{before}{number}{tail}" for tail in _expand(after))


def _numbers(text: str) -> Iterator[str]:
    found = _RANGE.fullmatch(text)
    if found is None:
        yield text
        return
    first, last = found.groups()
    yield from (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the cluster. One without a name or without states was unreadable and may be in any state."""

    job_id: int
    name: str
    states: frozenset[str]
    reason: str = ""  #: Slurm's reason why it waits, or why it ended
    user: str = ""
    comment: str = ""
    partition: str = ""
    account: str = ""
    qos: str = ""
    nodes: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()  #: nodes that it must not use
    gpus: Mapping[str, frozenset[int]] = field(default_factory=lambda: MappingProxyType({}))  #: by node
    wants: str = ""  #: such as `gres/gpu:2`
    restarts: int = 0
    starts_at: float | None = None  #: Unix seconds: the actual or expected start
    ends_at: float | None = None  #: Unix seconds: the end of its time limit
    preempted_at: float | None = None
    exit_code: int | None = None

    @property
    def is_pending(self) -> bool:
        return "PENDING" in self.states and "COMPLETING" not in self.states

    @property
    def is_held(self) -> bool:
        """Whether its owner must release it before it can start."""
        return self.is_pending and self.reason == "JobHeldUser"

    @property
    def is_running(self) -> bool:
        """Whether it runs and is not ending."""
        return "RUNNING" in self.states and "COMPLETING" not in self.states

    @property
    def is_over(self) -> bool:
        """Whether it uses no node and never will."""
        return not self.states.isdisjoint(_OVER) and "COMPLETING" not in self.states and not self.is_pending

    @property
    def was_requeued(self) -> bool:
        """Whether a restarted controller treats it as a job to restart, which our jobs never are."""
        return self.is_pending or self.restarts > 0

    @property
    def was_lost_with_node(self) -> bool:
        """Whether it ended because Slurm lost its node, on which its processes may continue."""
        return not self.states.isdisjoint(_NODE_LOST)


def parse_job(given: object) -> Job | None:
    """Return the job of an element, or None without a number."""
    if not isinstance(given, dict):
        return None
    number = given.get("job_id")
    if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
        return None
    nodes = expand(_text(given, "nodes", _MOST_LIST))
    return Job(
        job_id=number,
        name=_text(given, "name"),
        states=_states(given.get("job_state")),
        reason=_text(given, "state_reason"),
        user=_text(given, "user_name"),
        comment=_text(given, "comment"),
        partition=_text(given, "partition"),
        account=_text(given, "account"),
        qos=_text(given, "qos"),
        nodes=nodes,
        excluded=frozenset(expand(_text(given, "excluded_nodes", _MOST_LIST))),
        gpus=_gpus(nodes, given.get("gres_detail")),
        wants=_text(given, "tres_per_node") or _text(given, "tres_per_job"),
        restarts=max(0, _integer(given.get("restart_cnt")) or 0),
        starts_at=_timestamp(given.get("start_time")),
        ends_at=_timestamp(given.get("end_time")),
        preempted_at=_timestamp(given.get("preempt_time")),
        exit_code=_exit_code(given.get("exit_code")),
    )


def parse_state(given: object) -> tuple[int, frozenset[str]] | None:
    """Return the number and the states of an element, or None without a number."""
    fields = given if isinstance(given, dict) else {}
    number = _NUMBER.fullmatch(str(fields.get("job_id"))[:64])
    return None if number is None else (int(number[1]), _states(fields.get("state")))


def _states(given: object) -> frozenset[str]:
    names = given if isinstance(given, list) else [given]
    return frozenset(show(name, _MOST_TEXT) for name in names if isinstance(name, str) and name)


def _gpus(nodes: Sequence[str], details: object) -> Mapping[str, frozenset[int]]:
    """Return the GPUs of a job by node: Slurm lists one detail per node, in the same order."""
    if not isinstance(details, list):
        return MappingProxyType({})
    found = {}
    for node, detail in zip(nodes, details, strict=False):
        found[node] = indices(str(detail)[:_MOST_LIST])
    return MappingProxyType(found)


def indices(detail: str) -> frozenset[int]:
    """Return the GPU indices in a text such as `gpu:h100:2(IDX:0-1,4)`."""
    found: set[int] = set()
    for match in _GPUS.finditer(detail):
        for part in match[1].split(","):
            first, _, last = part.partition("-")
            if is_index(first) and is_index(last or first):
                found.update(range(int(first), min(int(last or first), _MOST_GPUS) + 1))
    return frozenset(found)


def is_index(text: str) -> bool:
    """Return whether a text is the index of a GPU."""
    return text.isascii() and text.isdigit() and len(text) <= 4


def _text(given: Mapping[str, Any], name: str, most: int = _MOST_TEXT) -> str:
    value = given.get(name)
    return show(value, most) if isinstance(value, str) else ""


def _integer(given: object) -> int | None:
    """Return an integer, plain or in Slurm's form with a `set` flag."""
    if isinstance(given, dict):
        given = given.get("number") if given.get("set") is True and not given.get("infinite") else None
    return given if isinstance(given, int) and not isinstance(given, bool) else None


def _timestamp(given: object) -> float | None:
    seconds = _integer(given)
    return float(seconds) if seconds is not None and _FIRST < seconds <= _LAST else None


def _exit_code(given: object) -> int | None:
    return _integer(given.get("return_code")) if isinstance(given, dict) else None
