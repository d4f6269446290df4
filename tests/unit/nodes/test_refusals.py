import pytest

from api.errors import Invalid, Mistake, NodeNameTaken
from api.nodes.refusals import TOLD_SECONDS, Refusals, check_name
from api.util.clock import FakeClock


def test_a_refusal_is_told_for_a_while_of_its_node_alone():
    clock = FakeClock()
    refusals = Refusals(clock)
    refusals.note("box2", Invalid("The report cannot be true.", mistakes=[Mistake("/report/gpus", "are 600\x1b[2J")]))
    (told,) = refusals.warn("box2")
    assert told.code == told.message_code.code == "report_refused"
    assert told.message == "a report by its name was refused: The report cannot be true. /report/gpus are 600"
    assert refusals.warn("box3") == ()
    clock.advance(TOLD_SECONDS + 1)
    assert refusals.warn("box2") == ()
    refusals.note("box2", NodeNameTaken("x" * 999))
    assert len(refusals.warn("box2")[0].message) < 400


@pytest.mark.parametrize("name", ["", "a b", "a\n", "x" * 64, "../x", "é"])
def test_what_is_no_name_is_refused(name: str):
    with pytest.raises(Invalid, match="is no name for a node"):
        check_name(name)
