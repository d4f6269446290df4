import pytest

from api.errors import Finding, Invalid, NodeNameTaken
from api.nodes.refusals import TOLD_SECONDS, Refusals, check_name
from api.util.clock import FakeClock


def test_rejection_is_shown_for_a_while_at_its_node_only():
    clock = FakeClock()
    refusals = Refusals(clock)
    refusals.note("box2", Invalid("The report is implausible.", mistakes=[Finding("/report/gpus", "are 600\x1b[2J")]))
    (result,) = refusals.warn("box2")
    assert result.code == result.message_code.code == "report_refused"
    assert result.message == "a report with its name was rejected: The report is implausible. /report/gpus are 600"
    assert refusals.warn("box3") == ()
    clock.advance(TOLD_SECONDS + 1)
    assert refusals.warn("box2") == ()
    refusals.note("box2", NodeNameTaken("x" * 999))
    assert len(refusals.warn("box2")[0].message) < 400


@pytest.mark.parametrize("name", ["", "a b", "a\n", "x" * 64, "../x", "é"])
def test_malformed_name_is_rejected(name: str):
    with pytest.raises(Invalid, match="is not a node name"):
        check_name(name)
