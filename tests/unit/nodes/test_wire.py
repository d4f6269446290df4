"""What a node tells is read as it was meant."""

from dataclasses import replace

import orjson

from api.domain.reading import XidEvent
from api.domain.reason import Reason, ReasonCode, ToldWords
from api.domain.shared_storage import ToldStorage
from api.nodes.report_check import read_report
from api.nodes.wire import encode_report, make_report, take_report
from tests.unit.builders import MONOTONIC, lost, process, reading, snapshot
from tests.unit.nodes.builders import NOW, PLACE, report


def test_what_was_told_is_what_was_read():
    told = (reading(0, processes=(process(ancestors=frozenset({1, 2})),)), lost(1))
    part = take_report("gpu2", read_report(report(*told), "gpu2"), MONOTONIC + 100, NOW)
    first, second = part.snapshot.gpus
    assert (first.vitals, first.condition, first.identity) == (told[0].vitals, told[0].condition, told[0].identity)
    assert first.processes == told[0].processes
    assert (second.fault, second.fault_reason) == (told[1].fault, told[1].fault_reason)


def test_a_readings_age_counts_from_when_the_report_came():
    old = replace(reading(0), read_monotonic=MONOTONIC - 7)
    part = take_report("gpu2", read_report(report(old), "gpu2"), 1000.0, NOW)
    (gpu,) = part.snapshot.gpus
    assert (part.heard, gpu.read_monotonic) == (1000.0, 993.0)
    assert (NOW - gpu.read_at).total_seconds() == 7


def test_a_failing_driver_and_xid_errors_come_along():
    seen = snapshot(reading(0), problem=Reason.of("it hangs", "driver_hangs"), problem_code=999)
    told = make_report(seen, PLACE, "1", 5.0, MONOTONIC, NOW, xids=[XidEvent("GPU-1", 79)])
    part = take_report("a", told, 1.0, NOW)
    assert (part.snapshot.problem, part.snapshot.problem_code) == (seen.problem, 999)
    assert told.xids == (XidEvent("GPU-1", 79),)


def test_what_a_probe_found_comes_along():
    found = ToldStorage(
        "gpu2.1", 7, {"head.1": 3}, ToldWords("no", ReasonCode("storage_failing", {"why": "no"})), 2.0, 0.1
    )
    told = encode_report(make_report(snapshot(reading(0)), PLACE, "1", 5.0, MONOTONIC, NOW, storage=found))
    assert read_report(orjson.loads(told), "gpu2").storage == found
