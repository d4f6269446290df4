import pytest

from api.domain.log import LineFilter, LogLevel, LogType
from api.errors import Invalid
from api.logs.follower import Tail
from api.logs.stream_output import DEFAULT_TAIL, MAX_TAIL, parse_follow_query
from api.streaming.addresses import StreamRequest


@pytest.mark.parametrize(
    ("query", "last_id", "start"),
    [
        ("", None, Tail(DEFAULT_TAIL)),
        ("tail=3", None, Tail(3)),
        ("offset=17", None, 17),
        ("offset=17", "99", 99),
        ("tail=3", "99", 99),
        ("tail=3", "5:99", Tail(3)),
        ("tail=3", "٣", Tail(3)),
        ("tail=3", "9" * 30, Tail(3)),
    ],
)
def test_last_event_id_takes_precedence_over_the_query(query: str, last_id: str | None, start: int | Tail):
    assert parse_follow_query(StreamRequest({}, query, last_id)).start == start


@pytest.mark.parametrize(
    ("query", "line_filter"),
    [
        ("", LineFilter()),
        ("level=error", LineFilter(level=LogLevel.ERROR)),
        ("type=eval", LineFilter(type=LogType.EVAL)),
        ("type=all", LineFilter()),
    ],
)
def test_lines_are_filtered_by_level_and_type(query: str, line_filter: LineFilter):
    assert parse_follow_query(StreamRequest({}, query, None)).line_filter == line_filter


def test_all_mistakes_are_reported_together():
    with pytest.raises(Invalid) as refused:
        parse_follow_query(StreamRequest({}, f"tail={MAX_TAIL + 1}&level=loud&type=x&more=1", None))
    assert {mistake.pointer for mistake in refused.value.mistakes} == {"/tail", "/level", "/type", "/more"}


def test_log_starts_either_at_an_offset_or_before_its_end():
    with pytest.raises(Invalid) as refused:
        parse_follow_query(StreamRequest({}, "offset=1&tail=1", None))
    assert [mistake.pointer for mistake in refused.value.mistakes] == [""]
