import tomllib
from typing import Any

import pytest
import toml
from hypothesis import given
from hypothesis import strategies as st

from api.trainers.toml_text import MAX_STRING, text_excess, write

DEEP = "It is nested more than 16 levels deep."
MANY = "It has more than 6,000 values."


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b.c = 1\n[x.y]\nz = [[1, 2], [3]]\n", None),
        ("a = 'one.two.three.four.five.six.seven.eight.nine.ten.a.b.c.d.e.f.g.h.i.j'", None),
        ("# a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w [[[[[[[[[[[[[[[[[[[[[[[", None),
        ('a = "' + '\\"[' * 40 + '"', None),
        (".".join("a" * 400_000) + " = 1", "The text is longer than 131,072 characters."),
        (".".join("a" * 5_000) + " = 1", DEEP),
        (' . '.join(['"a"'] * 20) + " = 1", DEEP),
        ("[" + ".".join("a" * 18) + "]", DEEP),
        ("a = " + "[" * 20 + "]" * 20, DEEP),
        ("a = " + "{b=" * 20 + "1" + "}" * 20, DEEP),
        ("a = [" + "1," * 30_000 + "]", MANY),
        ("a = '" + "x" * MAX_STRING + "'", "It contains a string longer than 4,096 characters."),
        ("a = '''" + "'\n" * MAX_STRING, "It contains a string longer than 4,096 characters."),
    ],
)  # fmt: skip
def test_text_limits_are_checked_without_parsing(text: str, found: str | None):
    assert text_excess(text) == found


simple = st.one_of(
    st.booleans(), st.integers(-(2**60), 2**60), st.floats(), st.text(st.characters(exclude_categories=["Cs"]))
)
names = st.text("aB-_9 .\"'é\n", max_size=4)
values = st.recursive(simple, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4))


@given(st.dictionaries(st.text("abc .-", max_size=3), values, max_size=5))
def test_written_values_are_read_back_unchanged(table: dict[str, Any]):
    assert same(tomllib.loads(write(table)), table)


def test_tables_are_written_after_plain_values():
    written = write(
        {"model": {"type": "sdxl"}, "epochs": 3, "directory": [{"path": "/a"}, {"path": "/b", "x": {"y": 1}}]}
    )
    assert written == (
        'epochs = 3\n\n[model]\ntype = "sdxl"\n\n[[directory]]\npath = "/a"\n'
        '\n[[directory]]\npath = "/b"\n\n[directory.x]\ny = 1\n'
    )
    assert toml.loads(written)["directory"][1]["x"] == {"y": 1}


def test_null_cannot_be_written():
    with pytest.raises(TypeError):
        write({"a": [None]})


def same(one: Any, other: Any) -> bool:
    return repr(sorted_(one)) == repr(sorted_(other))


def sorted_(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((key, sorted_(inner)) for key, inner in value.items())
    return [sorted_(inner) for inner in value] if isinstance(value, list) else value


def test_text_with_too_many_lines_is_rejected():
    assert text_excess("\n" * 16_000) is None
    assert text_excess("#\n" * 16_001) == "The text has more than 16,000 lines."
