"""A node's side: what it tells, and what it makes of the answers."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from api.domain.event import EventType
from api.domain.reading import XidEvent
from api.gpus.service import GPUService
from api.gpus.sources.source import FakeSource
from api.nodes.head import FakeHead, HeadRefuses, HeadSilent
from api.nodes.reporter import Reporter
from api.nodes.told_holders import ToldHolders
from api.util.clock import FakeClock
from tests.unit.nodes.builders import NOW, PLACE


class Node:
    """A node whose head is a fake."""

    def __init__(self, heads: list[FakeHead] | None = None) -> None:
        self.clock, self.source, self.head = FakeClock(), FakeSource(count=1), FakeHead()
        self.holders = ToldHolders("gpu2")
        self.gpus = GPUService(self.source, self.holders, self.clock)
        self.reporter = Reporter("gpu2", PLACE, heads or [self.head], self.gpus, self.holders, self.clock, 5.0)
        self.head.answer = self.receipt()

    def receipt(self, **changes: Any) -> dict[str, Any]:
        return {"time": self.clock.now().timestamp(), "held": [], "drain": None, "warnings": [], **changes}

    def tell(self) -> dict[str, Any]:
        self.gpus._monitor.sweep()
        self.reporter.tell()
        return self.last()

    def last(self) -> dict[str, Any]:
        told: dict[str, Any] = orjson.loads(self.head.told[-1])["report"]
        return told


@pytest.fixture
def node() -> Iterator[Node]:
    made = Node()
    yield made
    made.gpus.stop_monitoring()


def test_the_head_is_told_of_the_gpus(node: Node):
    told = node.tell()
    assert [gpu["identity"]["uuid"] for gpu in told["gpus"]] == [node.source.identities[0].uuid]
    assert (told["place"]["host"], told["leaves"], node.reporter.problem) == ("box1", False, None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (HeadSilent("ConnectError"), "does not answer"),
        (HeadRefuses(401, "unauthenticated", "The key was revoked."), "refuses this node's key"),
        (HeadRefuses(409, "node_name_taken", 'The name "gpu2" belongs to a node on box9'), "box9"),
        ({"hello": "world"}, "cannot be read"),
    ],
)
def test_a_head_that_does_not_take_the_report_is_a_problem_until_it_does(node: Node, answer: Any, words: str):
    node.head.answer = answer
    node.tell()
    assert words in (node.reporter.problem or "")
    node.head.answer = node.receipt()
    node.tell()
    assert node.reporter.problem is None


def test_an_xid_error_is_told_until_the_head_has_it_and_then_no_more(node: Node):
    node.tell()
    node.source.xids = [XidEvent(node.source.identities[0].uuid, 79)]
    node.gpus.listen_for_xid()
    node.head.answer = HeadSilent("away")
    assert len(node.tell()["xids"]) == 1
    node.head.answer = node.receipt()
    assert len(node.tell()["xids"]) == 1
    assert node.tell()["xids"] == []


def test_how_far_the_clocks_differ_is_told_with_the_next_report(node: Node):
    node.head.answer = node.receipt(time=node.clock.now().timestamp() - 90)
    assert node.tell()["clock_offset"] is None
    assert node.tell()["clock_offset"] == 90


def test_what_holds_its_gpus_and_that_it_is_drained_is_known_from_the_head(node: Node):
    uuid = node.source.identities[0].uuid
    held = {"task_id": "train_1", "task_type": "training", "gpu_uuids": [uuid], "started_at": NOW.isoformat()}
    node.head.answer = node.receipt(held=[held])
    node.tell()
    node.tell()
    assert node.gpus.state.gpus[0].judgement.status == "training"
    node.head.answer = node.receipt(drain={"since": NOW.isoformat(), "reason": "fans", "by": "ann"})
    node.tell()
    node.tell()
    assert node.gpus.state.gpus[0].judgement.reason == "its node is drained: fans (ann)"


def test_next_head_is_told_where_one_does_not_answer_and_stays_the_one():
    heads = [FakeHead("http://a"), FakeHead("http://b")]
    node = Node(heads)
    heads[0].answer, heads[1].answer = HeadSilent("ConnectError"), node.receipt()
    for _ in range(3):
        node.gpus._monitor.sweep()
        node.clock.advance(5)
        node.reporter.tell()
    assert ([len(head.told) for head in heads], node.reporter.problem) == ([1, 3], None)
    # Each is told anew: what was sent before would be refused.
    first, second = (orjson.loads(head.told[0])["report"] for head in heads)
    assert second["uptime"] >= first["uptime"]
    heads[1].answer = HeadRefuses(503, "unavailable", "ends")
    node.reporter.tell()
    problem = node.reporter.problem or ""
    assert "http://b: it refuses the report" in problem
    assert "http://a: it does not answer" in problem
    heads[0].answer = node.receipt()
    node.reporter.tell()
    assert node.reporter.problem is None
    node.gpus.stop_monitoring()


def test_head_that_refuses_the_report_itself_is_not_followed_by_others():
    heads = [FakeHead("http://a"), FakeHead("http://b")]
    node = Node(heads)
    heads[0].answer = HeadRefuses(409, "node_name_taken", "it is on box9")
    node.reporter.tell()
    assert [len(head.told) for head in heads] == [1, 0]
    node.gpus.stop_monitoring()


def test_a_node_that_ends_says_so(node: Node):
    node.tell()
    node.reporter.stop()
    assert node.last()["leaves"] is True
    assert EventType.NODE not in {event.type for event in node.gpus._events.list()}
