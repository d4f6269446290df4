"""The choice of GPUs for a request: all on one node, and the smallest that suffice."""

from dataclasses import replace

from api.domain.machines.gpu import GPUOffer, GPUStatus
from api.training.queue.supply import Supply

FREE = GPUOffer(
    node="a",
    index=0,
    uuid="a0",
    name="small",
    total_mb=24_000,
    free_mb=23_000,
    is_available=True,
    status=GPUStatus.AVAILABLE,
    reason=None,
    held_by=None,
)


def gpu(name: str, held_by: str | None = None, mb: int = 24_000) -> GPUOffer:
    """`a3`: the GPU 3 of node a."""
    place = {"node": name[0], "index": int(name[1:]), "uuid": name, "total_mb": mb, "name": f"{mb}"}
    return replace(FREE, **place, held_by=held_by, is_available=held_by is None)


def supply(*gpus: GPUOffer) -> Supply:
    return Supply(gpus, {each.uuid for each in gpus if each.is_available}, ())


def names(gpus: list[GPUOffer] | None) -> list[str] | None:
    return None if gpus is None else [each.uuid for each in gpus]


def test_gpus_of_one_task_are_on_one_node() -> None:
    found = supply(gpu("a0"), gpu("b0"), gpu("b1"))
    assert names(found.choose(2)) == ["b0", "b1"]
    assert found.choose(3) is None


def test_node_is_filled_before_the_next_is_used() -> None:
    assert names(supply(gpu("a0"), gpu("a1"), gpu("b0")).choose(1)) == ["b0"]


def test_small_gpus_and_those_of_one_kind_come_first() -> None:
    found = supply(gpu("a0", mb=80_000), gpu("a1"), gpu("b0", mb=80_000), gpu("b1", mb=80_000))
    assert names(found.choose(1)) == ["a1"]
    assert names(found.choose(2)) == ["b0", "b1"]


def test_assigned_gpus_are_not_found_again() -> None:
    gone: list[GPUOffer] = []
    found = Supply((gpu("a0"), gpu("a1")), {"a0", "a1"}, (), gone)
    gone += [gpu("a0"), gpu("b0")]
    assert names(found.choose(1)) == ["a1"]
    assert found.choose(2) is None
    gone.append(gpu("a1"))
    assert found.reserve(1) is None
    assert found.left == 0


def test_gpus_are_reserved_where_most_are_free() -> None:
    found = supply(gpu("a0"), gpu("a1", "x"), gpu("b0"), gpu("b1"), gpu("b2", "x"))
    assert names(found.reserve(3)) == ["b0", "b1", "b2"]
    assert names(found.reserve(2)) == ["b0", "b1"]
    assert found.reserve(4) is None


def test_gpus_reserved_for_another_task_are_unavailable() -> None:
    gpus = (gpu("a0"), gpu("a1", "x"))
    assert Supply(gpus, {"a0"}, {"a1"}).reserve(2) is None
    assert Supply(gpus, {"a0"}, {"a1"}).most == 2
