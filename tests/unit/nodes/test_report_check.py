"""Invalid reports are rejected as a whole."""

from typing import Any

import pytest

from api.domain.machines.node import MOST_XIDS
from api.errors import Invalid
from api.nodes.report_check import DEEPEST, LONGEST_TEXT, read_report
from tests.unit.builders import process, reading, uuid_of
from tests.unit.nodes.builders import report


def test_fields_of_the_next_version_are_ignored():
    result = report(format=2, colour="red")
    result["gpus"][0]["vitals"]["smell"] = 7
    assert read_report(result, "gpu2").format == 2


def test_xid_errors_of_own_gpus_and_the_own_probe_are_accepted():
    result = report(
        xids=[{"uuid": uuid_of(0), "xid": 79}, {"uuid": None, "xid": 13}], storage={"file": "gpu2.0011aabb"}
    )
    assert len(read_report(result, "GPU2").xids) == 2


def _vitals(**values: Any) -> dict[str, Any]:
    result = report()
    result["gpus"][0]["vitals"].update(values)
    return result


def _named(name: str) -> dict[str, Any]:
    result = report()
    result["gpus"][0]["identity"]["name"] = name
    return result


def _processes(count: int) -> dict[str, Any]:
    result = report(reading(0, processes=(process(),)))
    result["gpus"][0]["processes"] *= count
    return result


def _deep(levels: int) -> Any:
    return [_deep(levels - 1)] if levels else 0


GARBAGE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a later form": report(format=3),
    "no form": report(format="1"),
    "no list": report(gpus=7),
    "a word for a number": report(stuck="many"),
    "600 GPUs": report(gpus=[{"index": n, "identity": None} for n in range(600)]),
    "one GPU twice": report(gpus=[*report()["gpus"], *report()["gpus"]]),
    "a UUID with a line in it": report(gpus=[{"index": 0, "identity": {"index": 0, "uuid": "GPU-1\nfoo 1"}}]),
    "negative memory": _vitals(memory_used_mb=-1),
    "memory beyond all boards": _vitals(memory_total_mb=2**40),
    "utilization that no byte holds": _vitals(utilization_gpu=70_000),
    "a clock that no word holds": _vitals(clocks={"sm": 10**9}),
    "a temperature of the sun": _vitals(temperature_gpu=15_000_000),
    "a long text": report(version="x" * (LONGEST_TEXT + 1)),
    "deep nesting": report(extra=_deep(DEEPEST + 1)),
    "more than anybody needs": report(extra=[0] * 250_000),
    "an age before it was read": report(gpus=[{"index": 0, "identity": None, "age": -5}]),
    "an endless interval": report(interval=1e9),
    "a probe outside of its directory": report(storage={"file": "../secrets"}),
    "a probe that has read everything": report(storage={"file": "a", "seen": {f"b{n}": n for n in range(99)}}),
    "an Xid of another machine's GPU": report(xids=[{"uuid": "GPU-of-another", "xid": 79}]),
    "an Xid beyond all numbers": report(xids=[{"uuid": None, "xid": 10**9}]),
    "thousands of Xids": report(xids=[{"uuid": None, "xid": 13}] * (MOST_XIDS + 1)),
    "thousands of processes": _processes(1_001),
    "a probe of another machine": report(storage={"file": "gpu3.0011aabb"}),
    "a name as long as a page": report(
        gpus=[{"index": 0, "identity": {"index": 0, "uuid": "GPU-1", "name": "x" * 256}}]
    ),
    "an uptime beyond all boots": report(uptime=1e300),
    "a boot with a line in it": report(boot="a\nb"),
    "no place": report(place={"machine": "m", "host": "", "port": 1}),
    "a host with terminal sequences": report(place={"machine": "m", "host": "box2\x1b[2J", "port": 1}),
    "a version with markup for a terminal": report(version="1.0\x1b]0;x\x07"),
    "a clock beyond all years": report(clock_offset=1e300),
    "a turn below the first": report(sequence=-1),
    "fewer than none that are stuck": report(stuck=-5),
    "a sweep that never ends": report(sweep_seconds=1e308),
    "a port beyond all": report(place={"machine": "m", "host": "h", "port": 99_999}),
}


@pytest.mark.parametrize("result", GARBAGE.values(), ids=GARBAGE)
def test_invalid_report_is_rejected(result: dict[str, Any]):
    with pytest.raises(Invalid):
        read_report(result, "gpu2")
