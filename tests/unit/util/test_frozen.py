"""Frozen classes."""

import copy
import pickle
from dataclasses import asdict, field, fields, replace
from functools import total_ordering
from typing import Any

import pytest

from api.util.frozen import frozen


@frozen
class Place:
    """Where something is."""

    x: int
    y: int = 0
    note: str = field(default="", compare=False)
    secret: str = field(default="", repr=False)


@frozen(kw_only=True)
class Named:
    """Something with a name."""

    name: str
    places: list[Place] = field(default_factory=list)


@frozen
class Nothing:
    """Something without fields."""


@total_ordering
@frozen
class Grade:
    """What has `==` and a `repr` of its own."""

    text: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grade) and self.text.lower() == other.text.lower()

    def __hash__(self) -> int:
        return hash(self.text.lower())

    def __lt__(self, other: Any) -> bool:
        return bool(self.text.lower() < other.text.lower())

    def __repr__(self) -> str:
        return f"<{self.text}>"


def test_objects_are_equal_by_their_fields():
    assert Place(1, 2) == Place(1, 2)
    assert Place(1, 2) != Place(2, 1)
    assert Place(1, 2) != (1, 2)
    assert Nothing() == Nothing()


def test_field_that_is_not_compared_makes_no_difference():
    assert Place(1, note="a") == Place(1, note="b")
    assert hash(Place(1, note="a")) == hash(Place(1, note="b"))


def test_equal_objects_are_one_key():
    assert {Place(1, 2), Place(1, 2), Place(2, 1)} == {Place(2, 1), Place(1, 2)}
    assert len({Nothing(), Nothing()}) == 1


def test_it_is_shown_by_its_fields_but_for_those_that_are_not_to_be_shown():
    assert repr(Place(1, 2, "here", "hidden")) == "Place(x=1, y=2, note='here')"


def test_methods_of_its_own_stay():
    assert Grade("A") == Grade("a")
    assert Grade("a") < Grade("B")
    assert repr(Grade("a")) == "<a>"


def test_it_has_slots_and_no_more():
    with pytest.raises(AttributeError):
        setattr(Place(1), "other", 2)  # noqa: B010


def test_no_field_is_set_again():
    place = Place(1)

    # A check of types that let it pass would complain of the comment.
    place.x = 2  # type: ignore[misc]


def test_fields_that_are_given_by_name_only():
    assert Named(name="a").places == []
    with pytest.raises(TypeError):
        Named("a")  # type: ignore[misc]


def test_it_is_a_dataclass_to_all_who_ask():
    assert [each.name for each in fields(Place)] == ["x", "y", "note", "secret"]
    assert replace(Place(1), y=3) == Place(1, 3)
    assert asdict(Named(name="a", places=[Place(1)]))["places"][0]["x"] == 1


def test_it_is_copied_and_pickled():
    named = Named(name="a", places=[Place(1)])

    assert copy.deepcopy(named) == named
    assert pickle.loads(pickle.dumps(named)) == named
