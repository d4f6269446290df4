"""Every cause of the catalog explains the lines for which it was written. A new entry needs no new test."""

import re
from collections.abc import Iterator

import pytest

from api.trainers.failures.hints import annotate
from api.trainers.failures.known_cause import KnownCause
from api.trainers.failures.known_causes import CAUSES
from tests.unit.trainers.failures.builders import TRACEBACK, codes_of, diagnose

EXAMPLES = [(known, example) for known in CAUSES for example in known.examples]

#: Settings, commands, variables and placeholders, which are the same in both languages.
WORDS = re.compile(r"`[^`]+`|\{\w+\}|[A-Za-z][\w./-]*[_./=][\w./=<-]*\w|\b[A-Z][A-Z0-9_]{3,}\b")


def named(value: object) -> str:
    return value.code if isinstance(value, KnownCause) else ""


@pytest.mark.parametrize(("known", "example"), EXAMPLES, ids=named)
def test_example_is_explained_by_its_cause(known: KnownCause, example: str):
    assert known.remedy_code in codes_of(diagnose(TRACEBACK, *example.splitlines()))


@pytest.mark.parametrize("known", CAUSES, ids=named)
def test_cause_has_an_example(known: KnownCause):
    assert known.examples
    assert not isinstance(known.examples, str)


def test_code_belongs_to_one_cause():
    texts: dict[str, tuple[str | None, str]] = {}
    for known in CAUSES:
        assert texts.setdefault(known.code, (known.detail, known.remedy)) == (known.detail, known.remedy)


@pytest.mark.parametrize("known", CAUSES, ids=named)
def test_cause_with_a_code_has_a_detail(known: KnownCause):
    assert (known.cause is None) == (known.detail is None) == (known.detail_zh is None)


@pytest.mark.parametrize(("known", "example"), [each for each in EXAMPLES if each[0].within is not None], ids=named)
def test_traceback_of_an_example_is_needed(known: KnownCause, example: str):
    without = [line for line in example.splitlines() if not line.startswith(" ")]
    assert known.remedy_code not in codes_of(diagnose(TRACEBACK, *without))


def alternatives(pattern: str) -> Iterator[str]:
    """Yield the alternatives of a pattern outside of groups and character classes."""
    depth, begin = 0, 0
    for token in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()|]", pattern):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if token[0] == "|" and depth == 0:
            yield pattern[begin : token.start()]
            begin = token.end()
    yield pattern[begin:]


def readings(example: str) -> Iterator[str]:
    """Yield the texts of an example with which patterns are compared."""
    lines = example.splitlines()
    yield from lines
    yield " ".join(line.strip() for line in lines)
    yield from (annotate(line, lines[:index], (), lines) for index, line in enumerate(lines))


def test_each_alternative_of_a_pattern_has_an_example():
    texts: dict[str, list[str]] = {}
    for known, example in EXAMPLES:
        for alternative in alternatives(known.pattern):
            texts.setdefault(alternative, []).extend(readings(example))
    unused = {each for each in texts if not any(map(re.compile(each).search, texts[each]))}
    # Places are compared when nothing else matches.
    assert {each for each in unused if not each.startswith(r"^\[place: ")} == set()


@pytest.mark.parametrize("known", CAUSES, ids=named)
def test_remedy_names_what_the_pattern_finds(known: KnownCause):
    assert bool(re.compile(known.pattern).groups) == ("{what}" in known.remedy)


@pytest.mark.parametrize("known", CAUSES, ids=named)
def test_languages_name_the_same_settings_and_commands(known: KnownCause):
    for english, chinese in ((known.remedy, known.remedy_zh), (known.detail or "", known.detail_zh or "")):
        assert {word for word in WORDS.findall(english) if word.strip("`.") not in chinese} == set()
        assert {word for word in WORDS.findall(chinese) if word.strip("`.") not in english} == set()


@pytest.mark.parametrize("known", CAUSES, ids=named)
def test_texts_are_complete(known: KnownCause):
    for text in (known.remedy, known.remedy_zh, known.detail or "", known.detail_zh or ""):
        assert text == text.strip()
        assert not text.endswith((",", ";", ":", "，", "；", "：", "、"))
