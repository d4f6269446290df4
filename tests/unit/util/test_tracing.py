from collections.abc import Iterator

import pytest

from api.util.tracing import begin_request, note_span, spanning, traceparent_headers
from tests.unit.tracers import TOLD, Maker, making


@pytest.fixture
def maker() -> Iterator[Maker]:
    with making() as found:
        yield found


def test_without_a_tracer_nothing_is_made():
    assert begin_request({b"traceparent": TOLD.encode()}) is None
    with spanning("a", {}):
        note_span("b", 0.1, {})
        assert traceparent_headers() == {}


def test_what_happens_within_a_span_belongs_to_it(maker: Maker):
    with spanning("deliver", {"id": "1"}):
        note_span("database write", 0.1, {})
        assert traceparent_headers() == {"traceparent": TOLD}
    delivery, write = maker.made
    assert (write.parent, delivery.values, delivery.has_failed) == (delivery, {"id": "1"}, False)
    assert traceparent_headers() == {}


def test_what_belongs_to_nothing_is_not_noted(maker: Maker):
    note_span("database read", 0.1, {})
    assert maker.made == []


def test_span_of_what_raises_has_failed(maker: Maker):
    with pytest.raises(RuntimeError), spanning("a", {}):
        raise RuntimeError
    assert [span.has_failed for span in maker.made] == [True]


@pytest.mark.parametrize(
    ("told", "is_taken"),
    [
        (TOLD, True),
        (f"{TOLD}-more", True),
        ("", False),
        ("ff" + TOLD[2:], False),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", False),
        (TOLD.upper(), False),
        (TOLD + "\n", False),
        ("x" * 10_000, False),
    ],
)
def test_header_of_a_caller_is_taken_where_it_is_one(maker: Maker, told: str, is_taken: bool):
    begin_request({b"traceparent": told.encode()})
    assert [span.told for span in maker.made] == [told if is_taken else None]
