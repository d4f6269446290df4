"""The node's side: its reports and the head's answers."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from api.domain.machines.gpu_event import EventType
from api.domain.machines.reading import XidEvent
from api.gpus.service import GPUService
from api.gpus.sources.source import FakeSource
from api.nodes.head import FakeHead, HeadRejected, HeadUnreachable
from api.nodes.reported_holders import ReportedHolders
from api.nodes.reporter import Reporter
from api.util.clock import FakeClock
from tests.unit.nodes.builders import NOW, PLACE


class Node:
    """A node with a fake head."""

    def __init__(self, heads: list[FakeHead] | None = None) -> None:
        self.clock, self.source, self.head = FakeClock(), FakeSource(count=1), FakeHead()
        self.holders = ReportedHolders("gpu2")
        self.gpus = GPUService(self.source, self.holders, self.clock)
        self.reporter = Reporter(PLACE, heads or [self.head], self.gpus, self.holders, self.clock)
        self.head.answer = self.receipt()

    def receipt(self, **changes: Any) -> dict[str, Any]:
        return {"time": self.clock.now().timestamp(), "held": [], "drain": None, "warnings": [], **changes}

    def send_report(self) -> dict[str, Any]:
        self.gpus._monitor.sweep()
        self.reporter.send_report()
        return self.last()

    def last(self) -> dict[str, Any]:
        result: dict[str, Any] = orjson.loads(self.head.reports[-1])["report"]
        return result


@pytest.fixture
def node() -> Iterator[Node]:
    made = Node()
    yield made
    made.gpus.stop_monitoring()


def test_report_has_the_gpus(node: Node):
    result = node.send_report()
    assert [gpu["identity"]["uuid"] for gpu in result["gpus"]] == [node.source.identities[0].uuid]
    assert (result["place"]["host"], result["leaves"], node.reporter.problem) == ("box1", False, None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (HeadUnreachable("ConnectError"), "does not answer"),
        (HeadRejected(401, "unauthenticated", "The key was revoked."), "rejects this node's key"),
        (HeadRejected(409, "node_name_taken", 'The name "gpu2" belongs to a node on box9'), "box9"),
        ({"hello": "world"}, "cannot be read"),
    ],
)
def test_failed_report_is_a_problem_until_the_next_success(node: Node, answer: Any, words: str):
    node.head.answer = answer
    node.send_report()
    assert words in (node.reporter.problem or "")
    node.head.answer = node.receipt()
    node.send_report()
    assert node.reporter.problem is None


def test_xid_error_is_reported_until_the_head_has_it(node: Node):
    node.send_report()
    node.source.xids = [XidEvent(node.source.identities[0].uuid, 79)]
    node.gpus.read_xids()
    node.head.answer = HeadUnreachable("away")
    assert len(node.send_report()["xids"]) == 1
    node.head.answer = node.receipt()
    assert len(node.send_report()["xids"]) == 1
    assert node.send_report()["xids"] == []


def test_clock_offset_is_sent_with_the_next_report(node: Node):
    node.head.answer = node.receipt(time=node.clock.now().timestamp() - 90)
    assert node.send_report()["clock_offset"] is None
    assert node.send_report()["clock_offset"] == 90


def test_receipt_has_holders_and_drain(node: Node):
    uuid = node.source.identities[0].uuid
    held = {"task_id": "train_1", "task_type": "training", "gpu_uuids": [uuid], "started_at": NOW.isoformat()}
    node.head.answer = node.receipt(held=[held])
    node.send_report()
    node.send_report()
    assert node.gpus.state.gpus[0].judgement.status == "training"
    node.head.answer = node.receipt(drain={"since": NOW.isoformat(), "reason": "fans", "by": "ann"})
    node.send_report()
    node.send_report()
    assert node.gpus.state.gpus[0].judgement.reason == "its node is drained: fans (ann)"


def test_next_head_is_used_after_one_does_not_answer():
    heads = [FakeHead("http://a"), FakeHead("http://b")]
    node = Node(heads)
    heads[0].answer, heads[1].answer = HeadUnreachable("ConnectError"), node.receipt()
    for _ in range(3):
        node.gpus._monitor.sweep()
        node.clock.advance(5)
        node.reporter.send_report()
    assert ([len(head.reports) for head in heads], node.reporter.problem) == ([1, 3], None)
    # Each head gets a new report, because a repeated one would be rejected.
    first, second = (orjson.loads(head.reports[0])["report"] for head in heads)
    assert second["uptime"] >= first["uptime"]
    heads[1].answer = HeadRejected(503, "unavailable", "ends")
    node.reporter.send_report()
    problem = node.reporter.problem or ""
    assert "http://b: it rejects the report" in problem
    assert "http://a: it does not answer" in problem
    heads[0].answer = node.receipt()
    node.reporter.send_report()
    assert node.reporter.problem is None
    node.gpus.stop_monitoring()


def test_rejected_report_is_not_sent_to_other_heads():
    heads = [FakeHead("http://a"), FakeHead("http://b")]
    node = Node(heads)
    heads[0].answer = HeadRejected(409, "node_name_taken", "it is on box9")
    node.reporter.send_report()
    assert [len(head.reports) for head in heads] == [1, 0]
    node.gpus.stop_monitoring()


def test_stopped_node_announces_its_end(node: Node):
    node.send_report()
    node.reporter.stop()
    assert node.last()["leaves"] is True
    assert EventType.NODE not in {event.type for event in node.gpus._events.list()}
