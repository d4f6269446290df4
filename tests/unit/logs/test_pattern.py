import pytest

from api.errors import InvalidPattern
from api.logs.search import LogPattern, Match


def regex(text: str, ignore_case: bool = False) -> LogPattern:
    return LogPattern(text, is_regex=True, ignore_case=ignore_case)


@pytest.mark.parametrize("text", ["(", "a{5000}", "(?=a)", r"\1", r"\Aa", r"a\z", "((a{100}){100}){100}"])
def test_invalid_pattern_is_rejected(text: str):
    with pytest.raises(InvalidPattern):
        regex(text)


def test_reason_refers_to_the_given_pattern():
    with pytest.raises(InvalidPattern, match="RE2 rejects the pattern") as refused:
        regex("a(b")
    assert "(?m)" not in str(refused.value)


def test_keyword_is_not_a_regular_expression():
    assert LogPattern("b.c", is_regex=False, ignore_case=False).find_in("abc b.c") == Match(4, 7)
    assert LogPattern("(", is_regex=False, ignore_case=True).find_in("a(") == Match(1, 2)


def test_match_stays_within_a_line_and_anchors_are_its_ends():
    block = b"one\ntwo\nthree\n"
    assert regex("^two$").find(block, 0, len(block)) == Match(4, 7)
    assert regex(r"one\stwo").find(block, 0, len(block)) is None
    assert regex("t").find(block, 5, len(block)) == Match(8, 9)


def test_position_in_a_message_is_in_characters():
    assert regex("ö").find_in("äö") == Match(1, 2)
    assert regex("Ö", ignore_case=True).find_in("äö") == Match(1, 2)


def test_escaped_backslash_is_not_an_anchor():
    assert regex(r"\\A").find_in("a\\A") == Match(1, 3)
