import pytest

from api.nodes.head import FakeHead, HeadRefuses, HeadSilent


def test_the_fake_keeps_what_it_is_told_and_answers_as_it_was_set():
    head = FakeHead()
    head.answer = {"time": 1.0}
    assert head.tell("gpu2", b"{}", 1) == {"time": 1.0}
    head.answer = HeadSilent("away")
    with pytest.raises(HeadSilent):
        head.tell("gpu2", b"[]", 1)
    assert head.told == [b"{}", b"[]"]
    head.close()


def test_a_refusal_says_status_word_and_reason():
    assert str(HeadRefuses(409, "node_name_taken", "it is on box1")) == "409 node_name_taken: it is on box1"
