"""How long the reports of other machines are valid."""

from dataclasses import replace

import pytest

from api.domain.machines.node import NodeStatus
from api.domain.reason import Reason, text_of
from api.gpus.other_machines import NodePart, judge_node, why_unread
from tests.unit.builders import reading, snapshot

PART = NodePart("gpu2", snapshot(reading(0)), reported_at=100.0)
DRAINS = {"gpu2": Reason.of("{why} ({who})", "drained_by", why="fans", who="ann")}


@pytest.mark.parametrize(
    ("now", "left", "drains", "status"),
    [
        (115.0, False, {}, NodeStatus.UP),
        (115.1, False, {}, NodeStatus.UNKNOWN),
        (115.1, False, DRAINS, NodeStatus.UNKNOWN),
        (101.0, False, DRAINS, NodeStatus.DRAINING),
        (101.0, True, DRAINS, NodeStatus.DOWN),
    ],
)
def test_node_is_unknown_after_15_silent_seconds(now: float, left: bool, drains: dict[str, Reason], status: str):
    assert judge_node(replace(PART, has_left=left), drains, now).status is status


def test_reason_for_an_unknown_node_has_its_age():
    text = why_unread(PART, judge_node(PART, {}, 160.0))
    assert text is not None
    assert text_of(text) == "its node gpu2 has not reported for 60 s"
    assert why_unread(PART, judge_node(PART, {}, 101.0)) is None


def test_node_from_the_database_is_unknown_until_it_reports():
    part = replace(PART, has_reported=False)
    condition = judge_node(part, {}, 101.0)
    assert condition.status is NodeStatus.UNKNOWN
    assert text_of(why_unread(part, condition) or "") == "its node gpu2 has not reported since this server started"
