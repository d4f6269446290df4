"""A head and a node with one common storage or two separate ones, simulated by their reports."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from api.domain.machines.shared_storage import Probe, StorageState
from api.domain.reason import Reason
from api.nodes.shared_storage import HANG_SECONDS, SEEN_SECONDS, NodesOwnStorage, SharedStorage
from api.util.clock import FakeClock


@dataclass
class FakeProber:
    """A prober that writes into a dict instead of a directory."""

    clock: FakeClock
    file: str
    files: dict[str, int]
    directory: str = "/srv"
    wanted: set[str] = field(default_factory=set)
    latest: Probe | None = None
    problem: Reason | None = None
    problems: dict[str, Reason] = field(default_factory=dict)
    is_started: bool = False
    hangs: bool = False

    def watch_file(self, file: str) -> None:
        self.wanted.add(file)

    def forget(self, file: str) -> None:
        self.wanted.discard(file)

    def start(self) -> None:
        self.is_started = True

    def stop(self) -> None:
        self.is_started = False

    def probe(self) -> None:
        if not self.is_started or self.hangs:
            return
        self.files[self.file] = self.files.get(self.file, 0) + 1
        seen = {file: self.files[file] for file in self.wanted if file in self.files}
        self.latest = Probe(self.clock.monotonic(), self.files[self.file], seen, self.problem, self.problems, 0.5)


class Pair:
    """A head and a node that reports every 5 s."""

    def __init__(self, clock: FakeClock, directory: str = "/srv", is_shared: bool = True) -> None:
        self.clock = clock
        files: dict[str, int] = {}
        self.here = FakeProber(clock, "head.1", files)
        self.there = FakeProber(clock, "node.1", files if is_shared else {}, directory)
        self.head, self.node = SharedStorage(self.here, clock), NodesOwnStorage(self.there, clock)

    def play(self, seconds: float) -> StorageState:
        for _ in range(int(seconds // 5)):
            self.clock.advance(5.0)
            self.here.probe()
            self.there.probe()
            self.head.note("node", self.node.make_report(), self.clock.monotonic())
            call = self.head.call("node")
            if call is not None:
                self.node.take({"directory": call.directory, "file": call.file, "number": call.number})
        return self.head.show("node").state


def test_common_storage_is_detected_within_a_few_reports(clock: FakeClock):
    pair = Pair(clock)
    assert pair.play(10) is not StorageState.SHARED
    assert pair.play(25) is StorageState.SHARED
    assert pair.head.why_not("node") is None
    assert pair.head.show("node").clock_offset_seconds == 0.5


def test_different_directories_of_one_name_are_detected(clock: FakeClock):
    pair = Pair(clock, is_shared=False)
    assert pair.play(SEEN_SECONDS - 15) is StorageState.CHECKING
    assert pair.play(35) is StorageState.NOT_SHARED
    assert "is the same directory" in (pair.head.show("node").reason or "")


def test_lost_mount_is_detected_until_it_returns(clock: FakeClock):
    pair = Pair(clock)
    pair.play(40)
    pair.there.files = {}
    assert pair.play(SEEN_SECONDS + 15) is StorageState.NOT_SHARED
    pair.there.files = pair.here.files
    assert pair.play(20) is StorageState.SHARED


@pytest.mark.parametrize("who", ["here", "there"])
def test_hanging_storage_is_unknown_and_blocks_starts(clock: FakeClock, who: str):
    pair = Pair(clock)
    pair.play(40)
    getattr(pair, who).hangs = True
    assert pair.play(HANG_SECONDS + 10) is StorageState.UNKNOWN
    assert pair.head.why_not("node") is not None


def test_hanging_first_probe_is_unknown(clock: FakeClock):
    pair = Pair(clock)
    pair.there.hangs = True
    assert pair.play(HANG_SECONDS + 20) is StorageState.UNKNOWN


def test_problem_of_the_nodes_probe_is_the_reason(clock: FakeClock):
    pair = Pair(clock)
    pair.there.problem = Reason.of("/srv cannot be used: Permission denied", "storage_failing")
    assert pair.play(20) is StorageState.NOT_SHARED
    shown = pair.head.show("node")
    assert shown.reason == "/srv cannot be used: Permission denied"
    assert shown.reason_code is not None


@pytest.mark.parametrize("tell", [lambda pair: pair.play(120), lambda pair: pair.head.forget("node")])
def test_node_with_another_storage_is_unchecked_and_offered(clock: FakeClock, tell: Callable[[Pair], object]):
    pair = Pair(clock, directory="/var/lib/mine")
    tell(pair)
    assert pair.head.show("node").state is StorageState.UNCHECKED
    assert not pair.there.is_started
    assert pair.head.why_not("node") is None


def test_problem_of_one_nodes_file_affects_no_other_node(clock: FakeClock):
    pair = Pair(clock)
    pair.here.problems["other.1"] = Reason.of("locks of other machines are invisible", "storage_without_locks")
    assert pair.play(40) is StorageState.SHARED
    pair.here.problems["node.1"] = pair.here.problems["other.1"]
    assert pair.play(10) is StorageState.NOT_SHARED


def test_old_file_of_a_restarted_or_forgotten_node_is_not_read(clock: FakeClock):
    pair = Pair(clock)
    pair.play(40)
    pair.there.file = "node.2"
    pair.play(10)
    assert pair.here.wanted == {"node.2"}
    pair.head.forget("node")
    assert pair.here.wanted == set()


def test_silent_node_is_not_reported_as_silent_storage(clock: FakeClock):
    pair = Pair(clock)
    pair.play(40)
    clock.advance(120)
    pair.here.probe()
    shown = pair.head.show("node")
    assert (shown.state, shown.reason) == (StorageState.UNKNOWN, "it has not reported for 120 s")
