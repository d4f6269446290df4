from dataclasses import dataclass

import pytest

from api.util.copying import copy_fields


@dataclass(frozen=True)
class Source:
    name: str
    size: int


@dataclass(frozen=True)
class View:
    name: str
    size: str
    note: str | None = None


def test_fields_are_given_or_copied_or_have_their_default():
    assert copy_fields(View, Source("a", 3), size="3 MB") == View("a", "3 MB")


def test_first_source_with_a_field_is_used():
    assert copy_fields(View, Source("a", 3), View("b", "", "new")) == View("a", 3, "new")  # type: ignore[arg-type]


def test_missing_and_unknown_fields_are_errors():
    with pytest.raises(TypeError):
        copy_fields(View, size="3 MB")
    with pytest.raises(TypeError):
        copy_fields(View, Source("a", 3), colour="red")
