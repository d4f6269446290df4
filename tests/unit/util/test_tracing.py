from collections.abc import Iterator

import pytest

from api.util.measures import begin_request, note_span, spanning, traceparent_headers
from tests.unit.tracers import TRACEPARENT, Maker, making


@pytest.fixture
def maker() -> Iterator[Maker]:
    with making() as found:
        yield found


def test_without_a_tracer_there_are_no_spans():
    assert begin_request({b"traceparent": TRACEPARENT.encode()}) is None
    with spanning("a", {}):
        note_span("b", 0.1, {})
        assert traceparent_headers() == {}


def test_nested_work_belongs_to_the_span(maker: Maker):
    with spanning("deliver", {"id": "1"}):
        note_span("database write", 0.1, {})
        assert traceparent_headers() == {"traceparent": TRACEPARENT}
    delivery, write = maker.made
    assert (write.parent, delivery.values, delivery.has_failed) == (delivery, {"id": "1"}, False)
    assert traceparent_headers() == {}


def test_work_outside_of_a_span_is_not_recorded(maker: Maker):
    note_span("database read", 0.1, {})
    assert maker.made == []


def test_span_of_an_exception_has_failed(maker: Maker):
    with pytest.raises(RuntimeError), spanning("a", {}):
        raise RuntimeError
    assert [span.has_failed for span in maker.made] == [True]


@pytest.mark.parametrize(
    ("header", "is_used"),
    [
        (TRACEPARENT, True),
        (f"{TRACEPARENT}-more", True),
        ("", False),
        ("ff" + TRACEPARENT[2:], False),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", False),
        (TRACEPARENT.upper(), False),
        (TRACEPARENT + "\n", False),
        ("x" * 10_000, False),
    ],
)
def test_valid_header_of_a_caller_is_used(maker: Maker, header: str, is_used: bool):
    begin_request({b"traceparent": header.encode()})
    assert [span.remote_parent for span in maker.made] == [header if is_used else None]
