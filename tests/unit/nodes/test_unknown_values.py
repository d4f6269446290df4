"""Enum values of newer versions. The tests derive all enum fields from the model."""

import copy
import functools
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_type_hints

import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from api.domain.machines.gpu import GPUStatus
from api.domain.machines.node import HeldGPUs, MachineReport
from api.domain.machines.reading import FaultKind, GPUCondition, GPUProcess, MIGSlice, NVLink, ProcessKind, XidEvent
from api.domain.machines.shared_storage import StorageReport
from api.errors import Invalid
from api.nodes.report_check import read_report
from api.nodes.unknown_values import COUNTS_AS, validate
from api.nodes.wire import encode_report, take_report
from tests.unit.builders import reading
from tests.unit.nodes.builders import report

#: A report with every optional part; parts that are missing here would not be tested.
PROCESS = GPUProcess(7, ProcessKind.COMPUTE, 500, "eve", "train", datetime(2026, 1, 1, tzinfo=UTC), "c", 90, 1)
CONDITION = GPUCondition(
    nvlinks=(NVLink(0, True),), mig_slices=(MIGSlice("MIG-1", "1g", 1, 0, 10_000, 10, 9_990),), mig_enabled=True
)
STORAGE = {"file": "gpu2.a", "seen": {"b": 1}, "problem": {"text": "full", "said": None}}


def whole_report() -> dict[str, Any]:
    gpu = reading(0, processes=(PROCESS,), condition=CONDITION)
    result = report(gpu, problem={"text": "x", "said": None}, storage=STORAGE)
    result["xids"] = [{"uuid": None, "xid": 48}]
    result["gpus"][0] |= {"fault": "no_permission", "fault_reason": {"text": "closed", "said": None}}
    return result


def walk(kind: Any, place: tuple[int | str, ...] = ()) -> Iterator[tuple[tuple[int | str, ...], Any]]:
    """Yield every field below a type, as a path in a report, with its type."""
    if is_dataclass(kind):
        for field in fields(kind):
            yield from walk(get_type_hints(kind)[field.name], (*place, field.name))
        return
    inner = [each for each in get_args(kind) if each not in (NoneType, Ellipsis)]
    if len(inner) == 1:
        at = place if NoneType in get_args(kind) else (*place, 0)
        yield from walk(inner[0], at)
        return
    yield place, kind


ENUMS = {place: kind for place, kind in walk(MachineReport) if isinstance(kind, type) and issubclass(kind, Enum)}
NEWER = "of_the_next_version"


def at(result: Any, place: tuple[int | str, ...]) -> Any:
    return functools.reduce(lambda value, step: value[step], place, result)


def test_every_enum_of_a_report_is_covered():
    # An empty list or a null part would hide the fields below it.
    result, missing = whole_report(), []
    for place, _ in walk(MachineReport):
        try:
            at(result, place[:-1])
        except (KeyError, IndexError, TypeError):
            missing.append(place)
    assert not [place for place in missing if place[-1] not in ("code", "params")]
    assert {("source",), ("gpus", 0, "fault"), ("gpus", 0, "processes", 0, "kind")} <= set(ENUMS)


@pytest.mark.parametrize(("place", "kind"), ENUMS.items(), ids=str)
def test_unknown_value_counts_as_unknown_and_loses_nothing_else(place: tuple[int | str, ...], kind: type[Enum]):
    result = whole_report()
    wanted, newer = copy.deepcopy(result), copy.deepcopy(result)
    at(newer, place[:-1])[place[-1]] = NEWER
    at(wanted, place[:-1])[place[-1]] = COUNTS_AS[kind]  # type: ignore[index]
    assert read_report(newer, "gpu2") == read_report(wanted, "gpu2")
    assert at(newer, place) == NEWER
    # Another head can read it too.
    assert read_report(orjson.loads(encode_report(read_report(newer, "gpu2"))), "gpu2") == read_report(wanted, "gpu2")


def test_several_unknown_values_are_replaced():
    newer = whole_report()
    for place in ENUMS:
        at(newer, place[:-1])[place[-1]] = NEWER
    read = read_report(newer, "gpu2")
    assert (read.source, read.gpus[0].fault) == ("unknown", FaultKind.UNREADABLE)
    assert [process.kind for process in read.gpus[0].processes or ()] == [ProcessKind.UNKNOWN]


@pytest.mark.parametrize("word", [7, True, [], {}, "", "x" * 65, "a\nb"])
def test_value_that_is_not_a_name_is_rejected(word: object):
    result = whole_report()
    result["gpus"][0]["processes"][0]["kind"] = word
    with pytest.raises(Invalid):
        read_report(result, "gpu2")


def test_unknown_value_hides_no_other_mistake():
    with pytest.raises(Invalid) as refused:
        read_report({**whole_report(), "source": NEWER, "stuck": "many"}, "gpu2")
    assert [mistake.pointer for mistake in refused.value.mistakes] == ["/report/stuck"]


def test_unknown_fault_is_a_fault_with_a_reason():
    result = whole_report()
    result["gpus"][0] |= {"fault": "melting", "fault_reason": None}
    (gpu,) = take_report("box1", read_report(result, "gpu2"), 1.0, datetime(2026, 1, 1, tzinfo=UTC)).snapshot.gpus
    assert gpu.fault is FaultKind.UNREADABLE
    assert str(getattr(gpu.fault_reason, "text", "")).startswith('its node reports "melting"')


def test_unknown_kind_of_task_keeps_its_gpu_busy():
    kind = tuple[HeldGPUs, ...]
    adapter = TypeAdapter(kind)
    held = [{"task_id": "t", "task_type": NEWER, "gpu_uuids": ["GPU-1"], "started_at": "2026-01-01T00:00:00Z"}]
    (read,) = validate(adapter, kind, held)
    assert read.task_type == "external"
    with pytest.raises(ValidationError):
        validate(adapter, kind, [{**held[0], "started_at": "soon"}])


#: The required fields since the first format of reports. A later field needs a default, because older nodes do not
#: send it.
REQUIRED = {
    "MachineReport": {"format", "version", "place", "sequence", "interval", "source", "versions", "gpus"},
    "NodeLocation": {"machine", "host", "port"},
    "GPUReport": {"index", "identity"},
    "GPUIdentity": {"index", "uuid"},
    "GPUProcess": {
        *("pid", "kind", "memory_mb", "user", "command", "started_at", "container_id", "host_memory_mb"),
    },
    "MIGSlice": {
        *("uuid", "name", "gpu_instance_id", "compute_instance_id"),
        *("memory_total_mb", "memory_used_mb", "memory_free_mb"),
    },
    "NVLink": {"link", "active"},
    "XidEvent": {"uuid", "xid"},
    "ReportedMessage": {"text"},
    "ReasonCode": {"code"},
    "StorageReport": {"file"},
}


def parts(kind: Any) -> Iterator[type]:
    if is_dataclass(kind):
        yield kind  # type: ignore[misc]
        for hint in get_type_hints(kind).values():
            yield from parts(hint)
    for inner in get_args(kind):
        yield from parts(inner)


def test_required_fields_of_a_report_never_grow():
    found = {
        part.__name__: {
            field.name for field in fields(part) if field.default is MISSING and field.default_factory is MISSING
        }
        for part in parts(MachineReport)
    }
    assert {name: names for name, names in found.items() if names} == REQUIRED


def test_report_with_required_fields_only_is_accepted():
    def cut(value: Any, kind: Any) -> Any:
        if is_dataclass(kind):
            hints = get_type_hints(kind)
            return {name: cut(value[name], hints[name]) for name in REQUIRED.get(kind.__name__, ())}  # type: ignore[union-attr]
        inner = [each for each in get_args(kind) if each not in (NoneType, Ellipsis)]
        if isinstance(value, list):
            return [cut(each, inner[0]) for each in value]
        return cut(value, inner[0]) if len(inner) == 1 and value is not None else value

    result = cut(whole_report(), MachineReport)
    read = read_report(result, "gpu2")
    assert (len(read.gpus), read.xids, read.leaves, read.storage) == (1, (), False, None)
    part = take_report("box1", read, 1.0, datetime(2026, 1, 1, tzinfo=UTC))
    assert part.snapshot.gpus[0].read_monotonic is None


def test_replacement_values_free_no_gpu():
    assert set(COUNTS_AS.values()) == {"unknown", "unreadable", "external"}
    assert GPUStatus.AVAILABLE not in set(COUNTS_AS.values())
    assert {StorageReport, XidEvent} <= set(parts(MachineReport))
