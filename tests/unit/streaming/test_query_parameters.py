from typing import Annotated, Any

import pytest
from pydantic import BeforeValidator

from api.domain.log import LogLevel
from api.errors import Invalid, MalformedRequest
from api.streaming.models import Topic
from api.streaming.query_parameters import StreamQuery, one_of, read_query, some_of, up_to

TWO = (Topic.GPU, Topic.TASK)


class Question(StreamQuery):
    alternatives = ("offset", "tail")

    topics: Annotated[tuple[Topic, ...], BeforeValidator(some_of(TWO))] = TWO
    offset: Annotated[int | None, BeforeValidator(up_to(10))] = None
    tail: Annotated[int | None, BeforeValidator(up_to(1000))] = None
    level: Annotated[LogLevel | None, BeforeValidator(one_of(LogLevel))] = None


def read(text: str) -> dict[str, Any]:
    return read_query(Question, text).model_dump(exclude_unset=True)


def mistakes(text: str) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        read(text)
    return {mistake.pointer: mistake.message for mistake in refused.value.mistakes}


def test_list_is_separated_by_commas_and_sorted():
    assert read("topics=task,gpu") == {"topics": (Topic.GPU, Topic.TASK)}


def test_missing_parameter_has_its_default():
    assert read_query(Question, "").model_dump() == {"topics": TWO, "offset": None, "tail": None, "level": None}


@pytest.mark.parametrize("text", ["topics=", "topics=nothing", "topics=gpu,", "topics=gpu,GPU"])
def test_unknown_value_in_a_list_is_a_mistake(text: str):
    assert "is not one of gpu, task" in mistakes(text)["/topics"]


def test_unknown_value_is_a_mistake():
    assert mistakes("level=loud") == {"/level": "must be one of debug, info, warning, error"}


@pytest.mark.parametrize("text", ["-1", "1.5", "", "x", "%D9%A3", "1e3", "1001", "9" * 5000, "0x1", "%2B1"])
def test_invalid_number_is_a_mistake(text: str):
    assert mistakes(f"tail={text}") == {"/tail": "must be a whole number from 0 to 1,000"}


def test_number_is_parsed():
    assert read("tail=1000") == {"tail": 1000}


def test_all_mistakes_are_reported_together():
    assert mistakes("topics=x&offset=-1&tail=y&tial=1").keys() == {"/topics", "/offset", "/tail", "/tial", ""}


def test_exclusive_parameters_are_a_mistake():
    assert mistakes("tail=1&offset=1") == {"": "set only one of offset and tail, not offset and tail"}


def test_unknown_parameter_gets_a_suggestion():
    assert mistakes("tial=1") == {"/tial": 'unknown parameter; did you mean "tail"?'}
    assert mistakes("who=1") == {"/who": "unknown parameter; known are: topics, offset, tail, level"}


def test_repeated_parameter_is_a_mistake():
    assert mistakes("tail=1&tail=2") == {"/tail": "is given more than once"}


def test_invalid_query_string_is_malformed():
    with pytest.raises(MalformedRequest):
        read("topics=gpü")
    with pytest.raises(MalformedRequest):
        read("&".join(f"a{n}=1" for n in range(1000)))
