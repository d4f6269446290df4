import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from api.composition.later import Later


@dataclass
class Shelf:
    name: str = "a shelf"
    books: list[str] = field(default_factory=list)


@dataclass
class House:
    shelf: Shelf = field(default_factory=Shelf)


def test_it_is_built_once_when_it_is_first_needed():
    built: list[House] = []

    def build() -> House:
        built.append(House())
        return built[-1]

    house = Later(build)
    assert (built, house.built) == ([], None)
    assert house() is house() is house.built
    assert len(built) == 1


def test_of_many_who_need_it_at_once_one_builds_and_all_get_the_same():
    everybody, built = threading.Barrier(8), []

    def build() -> House:
        built.append(None)
        return House()

    house = Later(build)

    def need(_: int) -> House:
        everybody.wait(10)
        return house()

    with ThreadPoolExecutor(8) as threads:
        assert {id(found) for found in threads.map(need, range(8))} == {id(house())}
    assert len(built) == 1


def test_what_could_not_be_built_is_tried_anew_by_the_next():
    answers = iter([OSError("disk"), House()])

    def build() -> House:
        found = next(answers)
        if isinstance(found, OSError):
            raise found
        return found

    house = Later(build)
    with pytest.raises(OSError, match="disk"):
        house()
    assert house().shelf.name == "a shelf"


def test_stand_in_for_a_part_builds_nothing_before_it_is_asked_for_something():
    house = Later(House)
    shelf = house.part(lambda found: found.shelf)
    assert house.built is None
    shelf.books.append("a book")
    shelf.name = "another one"
    assert house().shelf == Shelf("another one", ["a book"])


def test_it_is_told_that_it_is_built():
    told = []
    house = Later(House, on_built=lambda: told.append("built"))
    house()
    house()
    assert told == ["built"]
