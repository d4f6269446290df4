"""Owners take turns."""

import threading
from dataclasses import dataclass, field

from api.datasets.uploads.turns import OwnerTurns
from api.domain.datasets.upload import Upload


@dataclass
class Waiting:
    """Waiting uploads by owner; processed ones are removed."""

    ids: dict[str, list[str]]
    taken: list[str] = field(default_factory=list)

    def find(self, tried: object) -> list[Upload]:
        return [upload(owner, ids[0]) for owner, ids in self.ids.items() if ids]

    def take(self, taken: Upload) -> None:
        self.ids[str(taken.owner)].remove(taken.upload_id)
        self.taken.append(taken.upload_id)


def upload(owner: str, upload_id: str) -> Upload:
    made = object.__new__(Upload)
    for name, value in {"owner": owner, "upload_id": upload_id, "serial": int(upload_id[1:])}.items():
        object.__setattr__(made, name, value)
    return made


def test_owners_are_served_in_turn():
    waiting = Waiting({"a": ["a1", "a2", "a3"], "b": ["b4", "b5"], "c": ["c6"]})
    assert OwnerTurns().process_all(waiting.find, waiting.take)
    assert waiting.taken == ["a1", "b4", "c6", "a2", "b5", "a3"]


def test_new_owner_waits_for_one_upload():
    waiting = Waiting({"a": ["a1", "a2", "a3"]})

    def take(taken: Upload) -> None:
        waiting.take(taken)
        if taken.upload_id == "a1":
            waiting.ids["b"] = ["b9"]

    OwnerTurns().process_all(waiting.find, take)
    assert waiting.taken == ["a1", "b9", "a2", "a3"]


def test_slow_upload_does_not_delay_other_owners():
    waiting, turns = Waiting({"a": ["a1", "a2"]}), OwnerTurns()
    started, may_end = threading.Event(), threading.Event()

    def take_slowly(taken: Upload) -> None:
        waiting.take(taken)
        started.set()
        assert may_end.wait(10)

    slow = threading.Thread(target=turns.process_all, args=(waiting.find, take_slowly))
    slow.start()
    assert started.wait(10)
    waiting.ids["b"] = ["b3"]
    turns.process_all(waiting.find, waiting.take)
    assert waiting.taken == ["a1", "b3"]
    may_end.set()
    slow.join(10)
    assert waiting.taken == ["a1", "b3", "a2"]


def test_upload_that_stays_is_tried_once():
    tried: list[str] = []

    def find(without: object) -> list[Upload]:
        return [] if "a1" in without else [upload("a", "a1")]  # type: ignore[operator]

    assert OwnerTurns().process_all(find, lambda taken: tried.append(taken.upload_id))
    assert tried == ["a1"]


def test_one_call_processes_a_limited_number():
    numbers = iter(range(1, 10_000))
    assert not OwnerTurns().process_all(lambda _: [upload("a", f"a{next(numbers)}")], lambda _: None)
