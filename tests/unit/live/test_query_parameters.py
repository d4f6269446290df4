import pytest

from api.errors import Invalid, MalformedRequest
from api.live.query_parameters import QueryParameters
from api.models.live import Topic

KNOWN = ("topics", "offset", "tail")


def mistakes(query: QueryParameters) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        query.check()
    return {mistake.pointer: mistake.message for mistake in refused.value.mistakes}


def test_words_are_read_by_comma():
    query = QueryParameters("topics=system,gpu", KNOWN)
    assert query.choices("topics", tuple(Topic)) == (Topic.GPU, Topic.SYSTEM)
    query.check()


def test_all_words_are_meant_when_nothing_is_said():
    assert QueryParameters("", KNOWN).choices("topics", (Topic.GPU, Topic.TASK)) == (Topic.GPU, Topic.TASK)


@pytest.mark.parametrize("text", ["topics=", "topics=nothing", "topics=gpu,", "topics=gpu,GPU", "topics=%00"])
def test_word_that_is_none_of_them_is_a_mistake(text):
    query = QueryParameters(text, KNOWN)
    query.choices("topics", (Topic.GPU, Topic.TASK))
    assert "is none of gpu, task" in mistakes(query)["/topics"]


@pytest.mark.parametrize("text", ["-1", "1.5", "", "x", "٣", "1e3", "101", "9" * 5000, "0x1", "+1"])
def test_number_that_is_none_is_a_mistake(text):
    query = QueryParameters(f"tail={text.encode().hex() if not text.isascii() else text}", KNOWN)
    assert query.number("tail", 100) is None
    assert mistakes(query)["/tail"] == "must be a whole number from 0 to 100"


def test_number_is_read():
    assert QueryParameters("tail=100", KNOWN).number("tail", 100) == 100


def test_all_mistakes_are_told_at_once():
    query = QueryParameters("topics=x&offset=-1&tail=y&tial=1", KNOWN)
    query.choices("topics", (Topic.GPU,))
    query.number("offset", 10)
    query.number("tail", 10)
    query.exclude("offset", "tail")
    assert mistakes(query).keys() == {"/topics", "/offset", "/tail", "/tial", ""}


def test_unknown_parameter_is_told_what_it_may_have_meant():
    assert mistakes(QueryParameters("tial=1", KNOWN))["/tial"] == 'unknown parameter; did you mean "tail"?'


def test_parameter_that_is_given_twice_is_a_mistake():
    assert mistakes(QueryParameters("tail=1&tail=2", KNOWN)) == {"/tail": "is given more than once"}


def test_what_is_no_query_string_is_malformed():
    with pytest.raises(MalformedRequest):
        QueryParameters("topics=gpü", KNOWN)
    with pytest.raises(MalformedRequest):
        QueryParameters("&".join(f"a{n}=1" for n in range(1000)), KNOWN)
