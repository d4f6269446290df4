from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from api.db.typed_json import TypedJSON


@dataclass(frozen=True, slots=True)
class Kept:
    name: str
    sizes: tuple[int, ...] = ()


def test_json_is_read_as_the_dataclass_that_was_written():
    assert TypedJSON(Kept).read({"name": "a", "sizes": [1, 2]}) == Kept("a", (1, 2))
    assert TypedJSON(tuple[Kept, ...]).read([{"name": "a"}]) == (Kept("a"),)


def test_what_is_no_such_thing_is_refused():
    with pytest.raises(ValidationError):
        TypedJSON(Kept).read({"sizes": [1]})
