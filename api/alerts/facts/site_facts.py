"""Facts about everything except GPUs and trainings: disks, the service itself, machines, channels, keys, users."""

import hashlib
import logging
import math
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

import orjson

from api.alerts.evaluation import UNKNOWN, FactTable
from api.alerts.facts.ages import Ages
from api.alerts.records.fact_store import AlertFactStore
from api.domain.access.principal import AccessKey, Quota, User
from api.domain.alerts.alert import AlertTarget
from api.domain.alerts.alert_action import AlertAction
from api.domain.alerts.alert_rule import RuleScope
from api.domain.alerts.channel import Channel
from api.domain.alerts.idle_end import IdleStage, IdleView
from api.domain.machines.node import NodeStatus
from api.domain.reason import Reason, ReasonCode, ReasonOrText, message_of, text_of
from api.domain.tasks.usage import Usage
from api.errors import DatabaseUnavailable
from api.files.task_files import write_private
from api.gpus.offers import find_unknown
from api.gpus.other_machines import NodePart
from api.gpus.state import GPUState
from api.util.clock import SLACK_SECONDS, Clock, time_of

_GB = 1024.0**3
_HOUR = 3600.0
_DAY = 86_400.0

#: Seconds between two samples of a disk, and the two windows over which its rate is computed.
_SAMPLE_SECONDS = 60.0
_SHORT, _LONG = 3600.0, 6 * 3600.0

#: Filled share of a window from which on a rate is known.
_FILLED = 0.25

#: Seconds after a start during which a machine without a report counts as unknown, not offline. More than the limit of
#: `node_offline`.
UNREPORTED_SECONDS = 120.0

#: Seconds between two readings of the database's clock.
_CLOCK_SECONDS = 60.0

#: The fact `idle_end` of each stage; 0 for all others.
_ENDS = {IdleStage.COUNTDOWN: 1.0, IdleStage.ENDING: 1.0, IdleStage.BLOCKED: 2.0}

#: Longest name of a machine that fits into the scope of a lease.
_LONGEST_NODE = 50


logger = logging.getLogger(__name__)

#: Number of starts in the file.
_MOST_STARTS = 50

#: Bytes that are read of the file; fifty starts take 4 KB.
_MOST_BYTES = 65_536


class StartLog:
    """The starts of the servers on one storage: a file lists the running servers and the latest starts."""

    def __init__(self, path: Path, own: str, is_alive: Callable[[str], bool], clock: Clock) -> None:
        """Create the log.

        `own` is the identity of this process; `is_alive` returns whether the process of an identity runs.
        """
        self._path = path
        self._own = own
        self._is_alive = is_alive
        self._clock = clock
        self.unclean_at: float | None = None  #: Unix time of a start after an unclean end
        self.starts: tuple[float, ...] = ()

    def note_start(self) -> None:
        """Record that this server starts, and whether an earlier one ended without recording it."""
        running, starts, unclean = self._read()
        now = self._clock.now().timestamp()
        # A start in the future was recorded before the clock was set back: its age is unknown.
        starts = [at for at in starts if at <= now + SLACK_SECONDS]
        unclean = None if unclean is None or unclean > now + SLACK_SECONDS else unclean
        dead = [identity for identity in running if not self._is_alive(identity)]
        self.unclean_at = now if dead else unclean
        self.starts = (*starts, now)[-_MOST_STARTS:]
        self._write([identity for identity in running if identity not in dead] + [self._own])

    def note_end(self) -> None:
        """Record that this server ends cleanly."""
        running, starts, unclean = self._read()
        self.starts, self.unclean_at = tuple(starts), unclean
        self._write([identity for identity in running if identity != self._own])

    def _read(self) -> tuple[list[str], list[float], float | None]:
        try:
            with self._path.open("rb") as file:
                known = orjson.loads(file.read(_MOST_BYTES))
            running = [str(each) for each in known["running"]]
            return running, [float(at) for at in known["starts"]], known.get("unclean_at")
        except FileNotFoundError:
            return [], [], None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("the record of starts cannot be read", extra={"problem": type(error).__name__})
            return [], [], None

    def _write(self, running: list[str]) -> None:
        known = {"running": running, "starts": list(self.starts), "unclean_at": self.unclean_at}
        try:
            write_private(self._path, orjson.dumps(known), levels=0)
        except OSError as error:
            logger.warning("the record of starts cannot be written", extra={"problem": str(error)})


def machine_scope(node: str, what: str = "alerts") -> str:
    """Return the scope of the lease for a machine's own alerts, or for something else of it.

    The renewals of the lease for alerts show that the machine is alive.
    """
    name = node if len(node) <= _LONGEST_NODE else hashlib.sha256(node.encode()).hexdigest()[:_LONGEST_NODE]
    return f"{what} of {name}"


class DiskFacts:
    """Computes the table of disks: the machine's own disk, and the disk of the storage."""

    def __init__(self, paths: Iterable[Path], node: str, clock: Clock) -> None:
        self._paths = tuple(dict.fromkeys(paths))
        self._node = node
        self._clock = clock
        self._samples: dict[Path, deque[tuple[float, float]]] = {path: deque() for path in self._paths}

    def table(self) -> FactTable:
        """Return the facts of all disks. Facts of an unreadable disk are unknown."""
        rows = [self._row(path) for path in self._paths]
        columns = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
        targets = tuple(
            AlertTarget(
                f"{self._node}:{path}",
                {"disk": str(path), "node": self._node},
                {"name": f"{path} on {self._node}", "disk": f"The disk at {path} on {self._node}"},
            )
            for path in self._paths
        )
        return FactTable(RuleScope.DISK, targets, columns)

    def _row(self, path: Path) -> dict[str, float]:
        try:
            usage = shutil.disk_usage(path)
        except OSError:
            names = ("free_percent", "free_gb", "hours_to_full_1h", "hours_to_full_6h")
            return dict.fromkeys(names, UNKNOWN)
        monotonic, samples = self._clock.monotonic(), self._samples[path]
        if not samples or monotonic - samples[-1][0] >= _SAMPLE_SECONDS:
            samples.append((monotonic, float(usage.free)))
            while monotonic - samples[0][0] > _LONG:
                samples.popleft()
        return {
            "free_percent": 100.0 * usage.free / usage.total if usage.total else UNKNOWN,
            "free_gb": usage.free / _GB,
            "hours_to_full_1h": _hours_to_full(samples, _SHORT, monotonic, usage.free),
            "hours_to_full_6h": _hours_to_full(samples, _LONG, monotonic, usage.free),
        }


def _hours_to_full(samples: Iterable[tuple[float, float]], span: float, monotonic: float, free: float) -> float:
    """Return the hours until the disk is full at the rate of this window; infinite if it does not fill up."""
    first = next((sample for sample in samples if monotonic - sample[0] <= span), None)
    if first is None or monotonic - first[0] < _FILLED * span:
        return UNKNOWN
    rate = (first[1] - free) / (monotonic - first[0])
    return free / rate / _HOUR if rate > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class ServiceSources:
    """Parts of this server that may be absent, from which its facts are read."""

    #: Returns 1 if the machine is idle, 0 if not, NaN if unknown.
    find_idle: Callable[[], float] = lambda: UNKNOWN
    #: Returns how far the machine's end is, None if unknown.
    find_end: Callable[[], IdleView | None] = lambda: None
    #: Returns the problem of each tracker, None for one that works.
    trackers: Callable[[], Mapping[str, ReasonOrText | None]] = dict
    comfyui_gpus: Sequence[str] = ()  #: the names in COMFYUI_GPUS


class ServiceFacts:
    """Computes the table of this server: its driver, its database, its starts, its clock."""

    def __init__(
        self,
        node: str,
        find_trouble: Callable[[], DatabaseUnavailable | None],
        starts: StartLog,
        store: AlertFactStore,
        clock: Clock,
        sources: ServiceSources = ServiceSources(),
    ) -> None:
        """Create the facts. `find_trouble` returns from memory why the database is unavailable."""
        self._sources = sources
        self._node = node
        self._find_trouble = find_trouble
        self._starts = starts
        self._store = store
        self._clock = clock
        self._away_since: float | None = None
        self._ages = Ages(clock)
        self._offset = UNKNOWN
        self._read_at = float("-inf")

    def table(self, state: GPUState) -> FactTable:
        """Return the facts of this server. The database is queried only for its clock, once a minute."""
        trouble, monotonic, now = self._find_trouble(), self._clock.monotonic(), self._clock.now()
        if trouble is None:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = monotonic
        problem, unclean, end = state.snapshot.problem, self._starts.unclean_at, self._sources.find_end()
        unsent = {name: why for name, why in self._sources.trackers().items() if why is not None}
        unsent_problem = next(iter(unsent.values()), "no problem")
        unknown_gpus = find_unknown(state, self._sources.comfyui_gpus)
        columns = {
            "source_failing": [0.0 if problem is None else 1.0],
            "database_away_seconds": [0.0 if self._away_since is None else monotonic - self._away_since],
            "unclean_start_age": [float("inf") if unclean is None else self._ages.of("unclean", time_of(unclean))],
            "starts_15m": [float(sum(self._ages.of(f"start {at}", time_of(at)) < 900 for at in self._starts.starts))],
            "clock_offset": [self._clock_offset(monotonic, now)],
            "idle": [self._sources.find_idle()],
            "idle_end": [UNKNOWN if end is None else _ENDS.get(end.stage, 0.0)],
            "trackers_failing": [float(len(unsent))],
            "comfyui_gpus_unknown": [UNKNOWN if unknown_gpus is None else float(len(unknown_gpus))],
        }
        summary_values = {
            "name": self._node,
            "node": self._node,
            "source_problem": "no problem" if problem is None else text_of(problem),
            "database_problem": "no problem" if trouble is None else trouble.detail,
            "idle_action": (end and end.action) or "none",
            "idle_ends_at": f"{end.ends_at:%H:%M} UTC" if end and end.ends_at else "an unknown time",
            "idle_problem": (end and end.problem) or "no problem",
            "trackers": ", ".join(unsent) or "none",
            "tracker_problem": text_of(unsent_problem),
            "comfyui_gpus": ", ".join(unknown_gpus or ()) or "none",
        }
        coded: dict[str, ReasonOrText] = {}
        if problem is not None:
            coded["source_problem"] = problem
        if trouble is not None:
            coded["database_problem"] = Reason(trouble.detail, trouble.said or ReasonCode(trouble.code))
        if end is not None and end.problem is not None:
            coded["idle_problem"] = message_of(end.problem, end.problem_code)
        if isinstance(unsent_problem, Reason):
            coded["tracker_problem"] = unsent_problem
        target = AlertTarget(self._node, {"node": self._node}, summary_values, coded_values=coded)
        return FactTable(RuleScope.SERVICE, (target,), columns)

    def _clock_offset(self, monotonic: float, now: datetime) -> float:
        if monotonic - self._read_at >= _CLOCK_SECONDS:
            self._read_at = monotonic
            try:
                offset = self._store.clock_offset(now)
            except DatabaseUnavailable:
                offset = None
            self._offset = UNKNOWN if offset is None else offset
        return self._offset


def reported_service_table(state: GPUState, is_complete: bool) -> FactTable:
    """Return the facts about the drivers of the machines that report to this one.

    Those of a silent machine are unknown.
    """
    silent = {node.name for node in state.nodes if node.status in (NodeStatus.UNKNOWN, NodeStatus.DOWN)}
    problems = {name: part.snapshot.problem for name, part in state.parts.items()}
    targets = tuple(
        AlertTarget(
            name,
            {"node": name},
            {"name": name, "node": name, "source_problem": "no problem" if problem is None else text_of(problem)},
        )
        for name, problem in problems.items()
    )
    failing = [UNKNOWN if name in silent else float(problem is not None) for name, problem in problems.items()]
    return FactTable(RuleScope.SERVICE, targets, {"source_failing": failing}, is_complete)


class NodeFacts:
    """Computes the table of the other machines: with servers on this database, or reporting to this one.

    Their clocks are never compared with the clock of this one.
    """

    def __init__(self, store: AlertFactStore, own: str, clock: Clock, parts: Callable[[], Iterable[NodePart]]) -> None:
        """Create the facts. `parts` returns the machines that report their GPUs."""
        self._store = store
        self._parts = parts
        self._own = own
        self._clock = clock
        self._seen: dict[str, tuple[float, float]] = {}

    def table(self) -> FactTable:
        """Return how long each known machine has been silent.

        These are machines that have evaluated alerts or reported GPUs. Raises DatabaseUnavailable.
        """
        signs, monotonic = self._store.lease_renewals(), self._clock.monotonic()
        others = [node for node in self._store.nodes() if node != self._own]
        # A machine that has released its lease was stopped cleanly.
        renewed = {node: signs[machine_scope(node)] for node in others if machine_scope(node) in signs}
        for node, at in renewed.items():
            if self._seen.get(node, (None, 0.0))[0] != at:
                self._seen[node] = (at, monotonic)
        silent = {node: monotonic - self._seen[node][1] for node in renewed}
        silent |= {part.node: _silence(part, monotonic) for part in self._parts() if not part.has_left}
        targets = tuple(AlertTarget(node, {"node": node}, {"name": node, "node": node}) for node in silent)
        columns = {"silent_seconds": list(silent.values())}
        return FactTable(RuleScope.NODE, targets, columns)


def _silence(part: NodePart, now: float) -> float:
    """Return the seconds since the last report of a machine.

    After a restart of this server the value is unknown at first: an alert stays as it is until the machine reports, or
    has not reported for long enough.
    """
    silent = max(0.0, now - part.reported_at)
    return silent if part.has_reported or silent > UNREPORTED_SECONDS else UNKNOWN


def channel_table(channels: Iterable[Channel], unsent: Mapping[str, datetime], ages: Ages) -> FactTable:
    """Return the facts of all channels in use."""
    used = [channel for channel in channels if channel.enabled or channel.disabled_reason is not None]
    waits = [unsent.get(channel.channel_id) for channel in used]
    columns = {
        "failures": [float(channel.failures) for channel in used],
        "oldest_unsent_seconds": [
            0.0 if at is None else ages.of(channel.channel_id, at) for channel, at in zip(used, waits, strict=True)
        ],
        "put_aside": [float(not channel.enabled) for channel in used],
    }
    targets = tuple(
        AlertTarget(
            channel.channel_id,
            {"channel_id": channel.channel_id, "channel": channel.name},
            {
                "name": channel.name,
                "channel": f'The channel "{channel.name}"',
                "last_error": channel.disabled_reason or channel.last_error or _DELAYED.text,
            },
            coded_values={
                "channel": Reason.of('The channel "{name}"', "channel_named", name=channel.name),
                "last_error": channel.disabled_reason or channel.last_error or _DELAYED,
            },
        )
        for channel in used
    )
    return FactTable(RuleScope.CHANNEL, targets, columns)


_DELAYED = Reason.of("its messages are delayed", "messages_delayed")


def action_table(failed: Iterable[AlertAction], ages: Ages) -> FactTable:
    """Return the facts of the recently failed actions."""
    known = [(action, action.finished_at) for action in failed if action.finished_at is not None]
    targets = tuple(_action_target(action) for action, _ in known)
    return FactTable(RuleScope.ACTION, targets, {"failed_age": [ages.of(action.action_id, at) for action, at in known]})


def _action_target(action: AlertAction) -> AlertTarget:
    about = action.about or action.node or "the queue"
    labels = {"action_id": action.action_id, "action": action.kind.value, "rule_id": action.rule_id}
    labels["alert_id"] = action.alert_id
    if action.kind.is_of_task and action.about is not None:
        labels["task_id"] = action.about
    summary_values = {"name": f"{action.kind} for {about}", "about": about, "why": action.result or "unknown"}
    return AlertTarget(action.action_id, labels, summary_values, action.owner)


def key_table(keys: Iterable[AccessKey], now: datetime) -> FactTable:
    """Return the facts of the valid keys that expire."""
    expiring = [key for key in keys if key.expires_at is not None and key.holds(now) and key.rotated_to is None]
    columns = {
        "days_left": [(key.expires_at - now).total_seconds() / _DAY for key in expiring if key.expires_at is not None],
        "unused_days": [
            float("inf") if key.last_used_at is None else (now - key.last_used_at).total_seconds() / _DAY
            for key in expiring
        ],
    }
    targets = tuple(
        AlertTarget(
            key.key_id,
            {"key_id": key.key_id, "user": key.user_id},
            {"name": f"{key.key_id} of {key.user_id}", "key": key.key_id, "user": key.user_id},
            owner=key.user_id,
        )
        for key in expiring
    )
    return FactTable(RuleScope.KEY, targets, columns)


@dataclass(frozen=True, slots=True)
class _Share:
    """A limit of a quota and the usage that counts towards it."""

    bound: str
    used: str


_SHARES = (
    _Share("gpu_hours_per_day", "gpu_hours_last_day"),
    _Share("storage_gb", "storage_gb"),
)


def user_table(users: Iterable[User], quota_of: Callable[[str], Quota], usage: Mapping[str, Usage]) -> FactTable:
    """Return the facts of the users with a quota that is used up gradually."""
    found = [(user.user_id, _fullest(quota_of(user.user_id), usage.get(user.user_id))) for user in users]
    bounded = [(user_id, percent) for user_id, percent in found if percent is not None]
    targets = tuple(
        AlertTarget(user_id, {"user": user_id}, {"name": user_id, "user": user_id}, owner=user_id)
        for user_id, _ in bounded
    )
    return FactTable(RuleScope.USER, targets, {"quota_percent": [percent for _, percent in bounded]})


def _fullest(quota: Quota, usage: Usage | None) -> float | None:
    bounds = {each.name: getattr(quota, each.name) for each in fields(quota)}
    found = []
    for share in _SHARES:
        bound = bounds[share.bound]
        if bound is None:
            continue
        used = None if usage is None else getattr(usage, share.used)
        found.append(UNKNOWN if used is None else 100.0 * used / bound if bound else 100.0)
    known = [percent for percent in found if not math.isnan(percent)]
    return max(known) if known else found[0] if found else None
