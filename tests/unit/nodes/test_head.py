import pytest

from api.nodes.head import FakeHead, HeadRejected, HeadUnreachable


def test_fake_records_reports_and_gives_the_set_answer():
    head = FakeHead()
    head.answer = {"time": 1.0}
    assert head.send_report("gpu2", b"{}", 1) == {"time": 1.0}
    head.answer = HeadUnreachable("away")
    with pytest.raises(HeadUnreachable):
        head.send_report("gpu2", b"[]", 1)
    assert head.reports == [b"{}", b"[]"]
    head.close()


def test_rejection_has_status_code_and_message():
    assert str(HeadRejected(409, "node_name_taken", "it is on box1")) == "409 node_name_taken: it is on box1"
