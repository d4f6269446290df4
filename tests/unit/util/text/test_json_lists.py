import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.util.text import json_lists as module
from api.util.text.json_lists import read_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def pieces(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@given(
    st.dictionaries(st.sampled_from(["jobs", "meta", "errors", "é"]), VALUES),
    st.integers(1, 40),
    st.sampled_from([0, 2]),
)
def test_object_in_parts_equals_the_complete_one(value: dict[str, Any], size: int, indent: int):
    text = json.dumps(value, ensure_ascii=False, indent=indent or None).encode(errors="replace")
    assert read_object(pieces(text, size), {"jobs": lambda each: [each]}) == {
        name: [[each] for each in value] if name == "jobs" and isinstance(value, list) else value
        for name, value in json.loads(text).items()
    }


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b'{"jobs"',
        b'{"jobs":',
        b'{"jobs":[',
        b'{"jobs":[1',
        b'{"jobs":[1}',
        b'{"jobs":[1 2]}',
        b'{"jobs":[1,]}',
        b"{1:2}",
        b'{"a":1,}',
        b'{"a":1} x',
        b"<html>",
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a":' + b"[" * 200_000,
        b'{"jobs":[' + b"[" * 200_000,
    ],
)
@pytest.mark.parametrize("size", [1_000_000, 7])
def test_text_that_is_no_object_is_rejected(text: bytes, size: int):
    with pytest.raises(ValueError, match=r"."):
        read_object(pieces(text, size), {"jobs": lambda each: each})


def test_invalid_utf8_is_replaced_and_hides_nothing_else():
    text = b'{"jobs": ["\xe9\xe9", "a\nb", 3]}'
    made = {"jobs": ["\N{REPLACEMENT CHARACTER}" * 2, "a\nb", 3]}
    assert read_object([text], {"jobs": lambda each: each}) == made
    assert read_object(pieces(text, 1), {}) == made


def test_values_and_lists_above_the_limits_are_not_read_to_their_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_CHARACTERS", 200_000)
    monkeypatch.setattr(module, "MOST_ELEMENTS", 1_000)
    monkeypatch.setattr(module, "MOST_LEFT_OUT", 100)
    for begin, endless, limit in (
        (b'{"jobs":[[', b"[],", 2_000_000),
        (b'{"meta":[', b"[],", 2_000_000),
        (b'{"meta":"', b"x", 2_000_000),
        (b'{"jobs":[', b"1,", 200_000),
        (b'{"jobs":[', b"null,", 200_000),
    ):
        read = 0

        def parts(begin: bytes = begin, endless: bytes = endless) -> Any:
            nonlocal read
            yield begin
            while True:
                read += 60_000
                yield endless * (60_000 // len(endless))

        with pytest.raises(ValueError, match=r"too long|known"):
            read_object(parts(), {"jobs": lambda each: each})
        assert read <= limit


def test_value_that_is_no_list_is_not_converted():
    assert read_object([b'{"jobs": {"a": 1}}'], {"jobs": lambda each: pytest.fail("made")}) == {"jobs": {"a": 1}}
