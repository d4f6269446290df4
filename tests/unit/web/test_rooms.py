import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.web.rooms import Rooms


def _application(name: str):
    def answer(environ, start_response):
        start_response("200 OK", [])
        return [name.encode()]

    return answer


def _ask(rooms: Rooms, path: str) -> bytes:
    return b"".join(rooms({"PATH_INFO": path}, lambda *told: lambda data: None))


def _first(path: str) -> str:
    return path.split("/")[1]


def test_each_request_is_answered_in_its_room_which_is_built_once():
    built: list[str] = []

    def build(name: str):
        built.append(name)
        return _application(name)

    rooms = Rooms(_first, lambda: build)
    assert built == []
    assert [_ask(rooms, path) for path in ("/a/1", "/b/1", "/a/2")] == [b"a", b"b", b"a"]
    assert built == ["a", "b"]


def test_of_many_who_enter_at_once_one_builds_and_the_others_wait():
    everybody, built = threading.Barrier(8), []

    def build(name: str):
        built.append(name)
        return _application(name)

    rooms = Rooms(_first, lambda: build)

    def enter(_: int) -> bytes:
        everybody.wait(10)
        return _ask(rooms, "/a")

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(enter, range(8))) == [b"a"] * 8
    assert built == ["a"]


def test_room_that_cannot_be_built_says_why_and_is_tried_anew():
    answers = iter([ImportError("no such library"), _application("a")])

    def build(name: str):
        found = next(answers)
        if isinstance(found, ImportError):
            raise found
        return found

    rooms = Rooms(_first, lambda: build)
    with pytest.raises(ImportError, match="no such library"):
        _ask(rooms, "/a")
    assert _ask(rooms, "/a") == b"a"
