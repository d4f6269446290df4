"""Whether each node shares the head's STORAGE_ROOT, judged by what both sides write and read there."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from api.domain.machines.node import SILENT_SECONDS
from api.domain.machines.shared_storage import NodeStorage, Probe, StorageProbeRequest, StorageReport, StorageState
from api.domain.reason import Reason, ReasonOrText, ReportedMessage, code_of, message_of, text_of
from api.util.clock import Clock

#: Seconds within which one machine must read what the other writes. Directory entries may be cached for a minute.
SEEN_SECONDS = 75.0

#: Seconds without an answer after which a storage counts as unresponsive.
HANG_SECONDS = 30.0


class StorageProber(Protocol):
    """Probes the storage of this machine."""

    directory: str
    file: str

    @property
    def latest(self) -> Probe | None:
        """The result of the last probe."""
        ...

    def watch_file(self, file: str) -> None:
        """Read this file of another machine from now on."""
        ...

    def forget(self, file: str) -> None:
        """Stop reading this file."""
        ...

    def start(self) -> None:
        """Start to probe. Further calls do nothing."""
        ...

    def stop(self) -> None:
        """Stop the probes."""
        ...


@dataclass(slots=True)
class _Way:
    """One direction: the number that should be read, since when, and whether any number was read."""

    number: int | None = None
    since: float = 0.0
    is_proven: bool = False

    def expect(self, number: int, now: float) -> None:
        if self.number is None:
            self.number, self.since = number, now

    def read(self, number: int | None) -> None:
        if self.number is not None and number is not None and number >= self.number:
            self.number, self.is_proven = None, True

    def is_overdue(self, now: float) -> bool:
        return self.number is not None and now - self.since > SEEN_SECONDS


@dataclass(slots=True)
class _Known:
    report: StorageReport
    at: float  #: when the report came
    there: _Way  #: from the head to the node
    here: _Way  #: from the node to the head


class SharedStorage:
    """The head's side: checks for each node whether it shares this head's storage."""

    def __init__(self, prober: StorageProber, clock: Clock) -> None:
        self._prober = prober
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Stop the probes."""
        self._prober.stop()

    def note(self, node: str, report: StorageReport | None, at: float) -> None:
        """Record the storage in a node's report, which came at the monotonic time `at`."""
        # Without nodes there is nothing to probe.
        self._prober.start()
        with self._lock:
            known = self._known.get(node)
            if report is None or (known is not None and known.report.file != report.file):
                self._forget(node)
                known = None
            if report is None:
                return
            if known is None:
                known = self._known[node] = _Known(report, at, _Way(), _Way())
            known.report, known.at = report, at
            self._prober.watch_file(report.file)
            known.there.read(report.seen.get(self._prober.file))
            if report.number is not None:
                known.here.expect(report.number, self._clock.monotonic())

    def call(self, node: str) -> StorageProbeRequest | None:
        """Return the file that this node should read; None before the first probe."""
        probe = self._prober.latest
        if probe is None or probe.number is None:
            return None
        with self._lock:
            known = self._known.get(node)
            if known is not None:
                known.there.expect(probe.number, self._clock.monotonic())
        return StorageProbeRequest(self._prober.directory, self._prober.file, probe.number)

    def forget(self, node: str) -> None:
        """Forget a node."""
        with self._lock:
            self._forget(node)

    def _forget(self, node: str) -> None:
        known = self._known.pop(node, None)
        if known is not None:
            self._prober.forget(known.report.file)

    def show(self, node: str) -> NodeStorage:
        """Return the state of a node's storage for `/nodes`."""
        state, why, known = self._judge(node)
        offset = None if known is None else known.report.offset
        return NodeStorage(state, None if why is None else text_of(why), code_of(why), offset)

    def why_not(self, node: str) -> Reason | None:
        """Return why nothing may start on a node; None if its storage is shared or not checked."""
        state, why, _ = self._judge(node)
        if state not in (StorageState.NOT_SHARED, StorageState.UNKNOWN):
            return None
        return Reason.of("its machine does not share STORAGE_ROOT: {why}", "storage_not_shared", why=why)

    def _judge(self, node: str) -> tuple[StorageState, ReasonOrText | None, _Known | None]:
        now, own = self._clock.monotonic(), self._prober.latest
        with self._lock:
            known = self._known.get(node)
            if known is None:
                why = Reason.of(
                    "it does not check its storage: set STORAGE_ROOT={directory} there",
                    "storage_unchecked",
                    directory=self._prober.directory,
                )
                return StorageState.UNCHECKED, why, None
            if own is None:
                return StorageState.CHECKING, None, known
            known.here.read(own.seen.get(known.report.file))
            return (*_judge(known, own, now), known)


def _judge(known: _Known, own: Probe, now: float) -> tuple[StorageState, ReasonOrText | None]:
    report = known.report
    if now - own.at > HANG_SECONDS:
        return StorageState.UNKNOWN, Reason.of(
            "the storage has not answered this server for {seconds} s",
            "storage_silent_here",
            seconds=_roughly(now - own.at),
        )
    silent = now - known.at
    if silent > SILENT_SECONDS:
        # A silent node reports nothing about its storage.
        return StorageState.UNKNOWN, Reason.of(
            "it has not reported for {seconds} s", "silent", seconds=_roughly(silent)
        )
    age = silent + (report.age or 0.0)
    if age > HANG_SECONDS:
        return StorageState.UNKNOWN, Reason.of(
            "the storage has not answered it for {seconds} s", "storage_silent", seconds=_roughly(age)
        )
    if report.problem is not None:
        return StorageState.NOT_SHARED, message_of(report.problem.text, report.problem.said)
    if own.problem is not None or report.file in own.problems:
        return StorageState.NOT_SHARED, own.problem or own.problems[report.file]
    if known.there.is_overdue(now):
        return StorageState.NOT_SHARED, Reason.of(
            "it does not see files of this server within {seconds} s: check that STORAGE_ROOT is the same directory",
            "storage_not_read_there",
            seconds=round(SEEN_SECONDS),
        )
    if known.here.is_overdue(now):
        return StorageState.NOT_SHARED, Reason.of(
            "this server does not see its files within {seconds} s: check that STORAGE_ROOT is the same directory",
            "storage_not_read_here",
            seconds=round(SEEN_SECONDS),
        )
    is_proven = known.here.is_proven and known.there.is_proven
    return (StorageState.SHARED if is_proven else StorageState.CHECKING), None


def _roughly(seconds: float) -> int:
    # Rounded, so that answers do not change every second.
    return int(seconds // 10) * 10


class NodesOwnStorage:
    """The node's side: probes the head's directory if it is the node's own STORAGE_ROOT."""

    def __init__(self, prober: StorageProber, clock: Clock) -> None:
        self._prober = prober
        self._clock = clock
        self._is_called = False
        self._called_at = clock.monotonic()

    def take(self, call: object) -> None:
        """Take the storage in a head's receipt."""
        if not isinstance(call, Mapping) or call.get("directory") != self._prober.directory:
            return
        if not self._is_called:
            self._is_called, self._called_at = True, self._clock.monotonic()
            self._prober.start()
        self._prober.watch_file(str(call.get("file")))

    def make_report(self) -> StorageReport | None:
        """Return the storage for the report; None while no head probes the same directory."""
        if not self._is_called:
            return None
        probe, now = self._prober.latest, self._clock.monotonic()
        if probe is None:
            return StorageReport(self._prober.file, age=round(now - self._called_at, 1))
        why = probe.problem or next(iter(probe.problems.values()), None)
        problem = None if why is None else ReportedMessage(text_of(why), code_of(why))
        age = round(now - probe.at, 1)
        return StorageReport(self._prober.file, probe.number, dict(probe.seen), problem, age, probe.offset)

    def stop(self) -> None:
        """Stop the probes."""
        self._prober.stop()
