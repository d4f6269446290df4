"""Reads what slurmrestd says of jobs. What cannot be understood is left out; nothing here raises."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import Any

from api.utils.frozen import frozen

#: States in which a job has nothing on any node any more.
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

_GIVEN_UP = frozenset({"BOOT_FAIL", "NODE_FAIL"})

_GPUS = re.compile(r"gpu(?::[^:(,]+)?:\d+\(IDX:([0-9,-]*)\)", re.ASCII)
#: What is added to the comment of our jobs that are handed over ahead of their turn.
AHEAD = " ahead"

_MOST_NODES = 10_000
_MOST_GPUS = 1_024


@frozen
class Job:
    """A job of the cluster."""

    job_id: int
    name: str
    states: frozenset[str]
    reason: str = ""  #: Slurm's word for why it waits, or why it ended
    user: str = ""
    comment: str = ""
    partition: str = ""
    nodes: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()  #: nodes on which it does not begin
    gpus: Mapping[str, frozenset[int]] = field(default_factory=lambda: MappingProxyType({}))  #: by node
    wants: str = ""  #: as `gres/gpu:2`
    restarts: int = 0
    starts_at: float | None = None  #: Unix seconds: when it began, or Slurm expects it to
    ends_at: float | None = None  #: Unix seconds: when its time limit is over
    preempted_at: float | None = None
    exit_code: int | None = None

    @property
    def is_pending(self) -> bool:
        return "PENDING" in self.states and "COMPLETING" not in self.states

    @property
    def is_held(self) -> bool:
        """Whether it waits to be released by whoever has submitted it."""
        return self.is_pending and self.reason == "JobHeldUser"

    @property
    def is_running(self) -> bool:
        """Whether it runs, and is not about to end."""
        return "RUNNING" in self.states and "COMPLETING" not in self.states

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is on any node, and nothing will be."""
        return not self.states.isdisjoint(_OVER) and "COMPLETING" not in self.states and not self.is_pending

    @property
    def was_forgotten(self) -> bool:
        """Whether a controller that died and came back takes it for one that was to begin anew: ours never are."""
        return self.is_pending or self.restarts > 0

    @property
    def was_given_up(self) -> bool:
        """Whether it is over as Slurm has lost its machine: on one that is only cut off its processes may go on."""
        return not self.states.isdisjoint(_GIVEN_UP)


def parse_jobs(answer: Mapping[str, Any]) -> tuple[Job, ...]:
    """The jobs of an answer."""
    given = answer.get("jobs")
    jobs = [_job(each) for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return tuple(job for job in jobs if job is not None)


def parse_states(answer: Mapping[str, Any]) -> Mapping[int, frozenset[str]]:
    """The states in an answer, by the job's number."""
    given, found = answer.get("jobs"), dict[int, frozenset[str]]()
    for each in given if isinstance(given, list) else ():
        number, states = (each.get("job_id"), each.get("state")) if isinstance(each, dict) else (None, None)
        if isinstance(states, list) and str(number).isdigit():
            found[int(str(number))] = frozenset(map(str, states))
    return found


def _job(given: Mapping[str, Any]) -> Job | None:
    number, name, states = given.get("job_id"), given.get("name"), given.get("job_state")
    if not isinstance(number, int) or not isinstance(name, str):
        return None
    nodes = expand(_text(given, "nodes"))
    return Job(
        job_id=number,
        name=name,
        states=frozenset(str(state) for state in (states if isinstance(states, list) else [states])),
        reason=_text(given, "state_reason"),
        user=_text(given, "user_name"),
        comment=_text(given, "comment"),
        partition=_text(given, "partition"),
        nodes=nodes,
        excluded=frozenset(expand(_text(given, "excluded_nodes"))),
        gpus=_gpus(nodes, given.get("gres_detail")),
        wants=_text(given, "tres_per_node") or _text(given, "tres_per_job"),
        restarts=_whole(given.get("restart_cnt")) or 0,
        starts_at=_moment(given.get("start_time")),
        ends_at=_moment(given.get("end_time")),
        preempted_at=_moment(given.get("preempt_time")),
        exit_code=_exit_code(given.get("exit_code")),
    )


def _gpus(nodes: Sequence[str], details: object) -> Mapping[str, frozenset[int]]:
    """Which GPUs a job has: Slurm lists one detail for each of its nodes, in their order."""
    if not isinstance(details, list):
        return MappingProxyType({})
    found = {}
    for node, detail in zip(nodes, details, strict=False):
        found[node] = indices(str(detail))
    return MappingProxyType(found)


def indices(detail: str) -> frozenset[int]:
    """The GPUs in a text as `gpu:h100:2(IDX:0-1,4)`."""
    found: set[int] = set()
    for match in _GPUS.finditer(detail):
        for part in filter(None, match[1].split(",")):
            first, _, last = part.partition("-")
            if first.isdigit() and (last or first).isdigit():
                found.update(range(int(first), min(int(last or first), _MOST_GPUS) + 1))
    return frozenset(found)


def expand(nodes: str) -> tuple[str, ...]:
    """The names in Slurm's short form, as `n[1-3,07],head`."""
    found: list[str] = []
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\][^,\[]*)*", nodes):
        found += _expand_part(part)
        if len(found) > _MOST_NODES:
            break
    return tuple(found[:_MOST_NODES])


def _expand_part(part: str) -> list[str]:
    before, bracket, rest = part.partition("[")
    if not bracket:
        return [part]
    inside, _, after = rest.partition("]")
    found = []
    for each in inside.split(","):
        first, dash, last = each.partition("-")
        numbers: Sequence[str] = [first]
        if dash and first.isdigit() and last.isdigit():
            most = min(int(last), int(first) + _MOST_NODES)
            numbers = [str(number).zfill(len(first)) for number in range(int(first), most + 1)]
        found += [f"{before}{number}{tail}" for number in numbers for tail in _expand_part(after)]
    return found


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    return value[:1000] if isinstance(value, str) else ""


def _whole(given: object) -> int | None:
    """A figure, plain or in the form with which Slurm says that it is set."""
    if isinstance(given, dict):
        given = given.get("number") if given.get("set") is True and not given.get("infinite") else None
    return given if isinstance(given, int) and not isinstance(given, bool) else None


def _moment(given: object) -> float | None:
    return float(_whole(given) or 0) or None


def _exit_code(given: object) -> int | None:
    return _whole(given.get("return_code")) if isinstance(given, dict) else None
