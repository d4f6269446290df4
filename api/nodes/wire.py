"""What a node tells a head: made of a snapshot, and a snapshot again. Pure functions."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from api.domain.node import REPORT_FORMAT, MachineReport, NodePlace, ToldGPU
from api.domain.reading import XidEvent
from api.domain.reason import ToldWords, Words, code_of, text_of, words_of
from api.domain.shared_storage import ToldStorage
from api.gpus.other_machines import NodePart
from api.gpus.snapshot import GPUReading, GPUSnapshot
from api.util.clock import Mark


def make_report(
    snapshot: GPUSnapshot,
    place: NodePlace,
    version: str,
    interval: float,
    now: float,
    at: datetime,
    clock_offset: float | None = None,
    xids: Sequence[XidEvent] = (),
    leaves: bool = False,
    storage: ToldStorage | None = None,
    mark: Mark | None = None,
) -> MachineReport:
    """What a node tells of a snapshot at the monotonic time `now`, which its clock calls `at`.

    `mark` is the same moment by the time since the machine's boot.
    """
    return MachineReport(
        format=REPORT_FORMAT,
        version=version,
        place=place,
        sequence=snapshot.sequence,
        interval=interval,
        source=snapshot.source,
        versions=snapshot.versions,
        gpus=tuple(_tell(gpu, now) for gpu in snapshot.gpus),
        sweep_seconds=snapshot.sweep_seconds,
        stuck=snapshot.stuck,
        problem=_tell_words(snapshot.problem),
        problem_code=snapshot.problem_code,
        sent_at=at.timestamp(),
        clock_offset=clock_offset,
        xids=tuple(xids),
        leaves=leaves,
        storage=storage,
        boot="" if mark is None else mark.boot_id,
        uptime=None if mark is None else round(mark.seconds, 6),
    )


def encode_report(report: MachineReport) -> bytes:
    """The report as JSON."""
    return orjson.dumps(report, default=_list, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)


def _list(value: Any) -> list[int]:
    if not isinstance(value, frozenset):
        raise TypeError(f"{type(value).__name__} is no part of a report")
    return sorted(value)


def _tell(gpu: GPUReading, now: float) -> ToldGPU:
    return ToldGPU(
        index=gpu.index,
        identity=gpu.identity,
        vitals=gpu.vitals,
        condition=gpu.condition,
        processes=gpu.processes,
        processes_unlisted=gpu.processes_unlisted,
        fault=gpu.fault,
        fault_reason=_tell_words(gpu.fault_reason),
        age=None if gpu.read_monotonic is None else round(max(0.0, now - gpu.read_monotonic), 3),
    )


def _tell_words(words: Words | None) -> ToldWords | None:
    return None if words is None else ToldWords(text_of(words), code_of(words))


def take_report(name: str, report: MachineReport, heard: float, now: datetime, is_heard: bool = True) -> NodePart:
    """What a report amounts to that came at the monotonic time `heard`, which this server's clock calls `now`.

    Times are counted back by the ages in it: the node's clock has no part in them. `is_heard` False: the report was
    read from the database and nothing shows how old it is, so that no reading in it counts as fresh.
    """
    gpus = tuple(_read(gpu, heard if is_heard else None, now) for gpu in report.gpus)
    snapshot = GPUSnapshot(
        sequence=report.sequence,
        gpus=gpus,
        source=report.source,
        versions=report.versions,
        taken_at=now,
        taken_monotonic=heard,
        sweep_seconds=report.sweep_seconds,
        stuck=report.stuck,
        problem=_read_words(report.problem),
        problem_code=report.problem_code,
    )
    return NodePart(name, snapshot, heard, report.leaves, is_heard, report.boot)


def _read(gpu: ToldGPU, heard: float | None, now: datetime) -> GPUReading:
    return GPUReading(
        index=gpu.index,
        identity=gpu.identity,
        vitals=gpu.vitals,
        condition=gpu.condition,
        processes=gpu.processes,
        processes_unlisted=gpu.processes_unlisted,
        fault=gpu.fault,
        fault_reason=_read_words(gpu.fault_reason),
        read_at=None if gpu.age is None else now - timedelta(seconds=gpu.age),
        read_monotonic=None if gpu.age is None or heard is None else heard - gpu.age,
    )


def _read_words(words: ToldWords | None) -> Words | None:
    return None if words is None else words_of(words.text, words.said)
