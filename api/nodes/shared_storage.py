"""Whether each node sees the STORAGE_ROOT that trainings are handed over by: a head's judgement of what both read."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from api.domain.node import SILENT_SECONDS
from api.domain.reason import Reason, ToldWords, Words, code_of, text_of, words_of
from api.domain.shared_storage import NodeStorage, Probe, StorageCall, StorageState, ToldStorage
from api.util.clock import Clock

#: Seconds within which what one machine writes is to be read on the other. Directories are remembered for a minute.
SEEN_SECONDS = 75.0

#: Seconds after which a storage that has not answered a probe counts as one that does not answer.
HANG_SECONDS = 30.0


class StorageProber(Protocol):
    """Probes the storage of this machine."""

    directory: str
    file: str

    @property
    def latest(self) -> Probe | None:
        """What the last probe has found."""
        ...

    def look_for(self, file: str) -> None:
        """Has this file of another machine read, too."""
        ...

    def forget(self, file: str) -> None:
        """Has it read no more."""
        ...

    def start(self) -> None:
        """Begins to probe; once is enough."""
        ...

    def stop(self) -> None:
        """Ends the probes."""
        ...


@dataclass(slots=True)
class _Way:
    """One direction: a number that was written, since when it is waited for, and whether any was read."""

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
    told: ToldStorage
    at: float  #: when it was told
    there: _Way  #: from here to there
    here: _Way  #: from there to here


class SharedStorage:
    """What this head knows of the nodes' ways to its storage."""

    def __init__(self, prober: StorageProber, clock: Clock) -> None:
        self._prober = prober
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Ends the probes."""
        self._prober.stop()

    def note(self, node: str, told: ToldStorage | None, at: float) -> None:
        """Takes what a node told at the monotonic time `at`."""
        # Only where there are nodes anything is probed.
        self._prober.start()
        with self._lock:
            known = self._known.get(node)
            if told is None or (known is not None and known.told.file != told.file):
                self._forget(node)
                known = None
            if told is None:
                return
            if known is None:
                known = self._known[node] = _Known(told, at, _Way(), _Way())
            known.told, known.at = told, at
            self._prober.look_for(told.file)
            known.there.read(told.seen.get(self._prober.file))
            if told.number is not None:
                known.here.expect(told.number, self._clock.monotonic())

    def call(self, node: str) -> StorageCall | None:
        """What this node is told to look for; None before anything was written here."""
        probe = self._prober.latest
        if probe is None or probe.number is None:
            return None
        with self._lock:
            known = self._known.get(node)
            if known is not None:
                known.there.expect(probe.number, self._clock.monotonic())
        return StorageCall(self._prober.directory, self._prober.file, probe.number)

    def forget(self, node: str) -> None:
        """Forgets a node."""
        with self._lock:
            self._forget(node)

    def _forget(self, node: str) -> None:
        known = self._known.pop(node, None)
        if known is not None:
            self._prober.forget(known.told.file)

    def show(self, node: str) -> NodeStorage:
        """What `/nodes` says."""
        state, why, known = self._judge(node)
        offset = None if known is None else known.told.offset
        return NodeStorage(state, None if why is None else text_of(why), code_of(why), offset)

    def why_not(self, node: str) -> Reason | None:
        """Why nothing is to be started on a node; None where its storage is the same, or is not checked."""
        state, why, _ = self._judge(node)
        if state not in (StorageState.NOT_SHARED, StorageState.UNKNOWN):
            return None
        return Reason.of("its machine does not share STORAGE_ROOT: {why}", "storage_not_shared", why=why)

    def _judge(self, node: str) -> tuple[StorageState, Words | None, _Known | None]:
        now, own = self._clock.monotonic(), self._prober.latest
        with self._lock:
            known = self._known.get(node)
            if known is None:
                why = Reason.of(
                    "it does not look: give it STORAGE_ROOT={directory}",
                    "storage_unchecked",
                    directory=self._prober.directory,
                )
                return StorageState.UNCHECKED, why, None
            if own is None:
                return StorageState.CHECKING, None, known
            known.here.read(own.seen.get(known.told.file))
            return (*_judge(known, own, now), known)


def _judge(known: _Known, own: Probe, now: float) -> tuple[StorageState, Words | None]:
    told = known.told
    if now - own.at > HANG_SECONDS:
        return StorageState.UNKNOWN, Reason.of(
            "the storage has not answered this server for {seconds} s",
            "storage_silent_here",
            seconds=_roughly(now - own.at),
        )
    silent = now - known.at
    if silent > SILENT_SECONDS:
        # Of its storage that says nothing.
        return StorageState.UNKNOWN, Reason.of(
            "nothing was heard of it for {seconds} s", "silent", seconds=_roughly(silent)
        )
    age = silent + (told.age or 0.0)
    if age > HANG_SECONDS:
        return StorageState.UNKNOWN, Reason.of(
            "the storage has not answered it for {seconds} s", "storage_silent", seconds=_roughly(age)
        )
    if told.problem is not None:
        return StorageState.NOT_SHARED, words_of(told.problem.text, told.problem.said)
    if own.problem is not None or told.file in own.problems:
        return StorageState.NOT_SHARED, own.problem or own.problems[told.file]
    if known.there.is_overdue(now):
        return StorageState.NOT_SHARED, Reason.of(
            "what this server writes is not read there within {seconds} s: is it another directory?",
            "storage_not_read_there",
            seconds=round(SEEN_SECONDS),
        )
    if known.here.is_overdue(now):
        return StorageState.NOT_SHARED, Reason.of(
            "what it writes is not read here within {seconds} s: is it another directory?",
            "storage_not_read_here",
            seconds=round(SEEN_SECONDS),
        )
    is_proven = known.here.is_proven and known.there.is_proven
    return (StorageState.SHARED if is_proven else StorageState.CHECKING), None


def _roughly(seconds: float) -> int:
    # A figure that moves each second would make every answer a new one.
    return int(seconds // 10) * 10


class NodesOwnStorage:
    """A node's side: looks where its head looks, if that is its own STORAGE_ROOT."""

    def __init__(self, prober: StorageProber, clock: Clock) -> None:
        self._prober = prober
        self._clock = clock
        self._is_called = False
        self._called_at = clock.monotonic()

    def take(self, call: object) -> None:
        """Takes what a head's answer says of its storage."""
        if not isinstance(call, Mapping) or call.get("directory") != self._prober.directory:
            return
        if not self._is_called:
            self._is_called, self._called_at = True, self._clock.monotonic()
            self._prober.start()
        self._prober.look_for(str(call.get("file")))

    def tell(self) -> ToldStorage | None:
        """What the report says; None while no head looks at the same directory."""
        if not self._is_called:
            return None
        probe, now = self._prober.latest, self._clock.monotonic()
        if probe is None:
            return ToldStorage(self._prober.file, age=round(now - self._called_at, 1))
        why = probe.problem or next(iter(probe.problems.values()), None)
        problem = None if why is None else ToldWords(text_of(why), code_of(why))
        age = round(now - probe.at, 1)
        return ToldStorage(self._prober.file, probe.number, dict(probe.seen), problem, age, probe.offset)

    def stop(self) -> None:
        """Ends the probes."""
        self._prober.stop()
