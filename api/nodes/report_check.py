"""Whether what a node tells can be read, and can be true: checked before anything of it counts."""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from api.domain.node import MOST_XIDS, REPORT_FORMAT, MachineReport, ToldGPU, fold_name
from api.domain.reading import MAX_GPUS, MAX_MEMORY_MB, Clocks, GPUIdentity, GPUVitals
from api.domain.shared_storage import PROBE_FILE, ToldStorage
from api.errors import Invalid, Mistake
from api.nodes.unknown_words import validate
from api.util.bounds import excess
from api.util.validation import details_of, plain_words

#: Bounds of a report: no text is longer, nothing is nested deeper, and so many values are the most.
LONGEST_TEXT = 2_000
DEEPEST = 10
MOST_VALUES = 200_000

#: Mistakes of a report that are told; who sends garbage learns enough from these.
_MOST_MISTAKES = 5

_PROBE = re.compile(PROBE_FILE)
_MOST_PROBES = 16
#: Versions and places stand in logs, messages and tables as they are.
_PLAIN = re.compile(r"[\x20-\x7e]{1,255}")
_UUID = re.compile(r"[0-9A-Za-z:.\-]{1,80}")

#: The most that each number can be; all are at least 0 where nothing else is said.
_PERCENT = ("utilization_gpu", "utilization_memory", "utilization_encoder", "utilization_decoder", "fan_percent")
_MEMORY = ("memory_total_mb", "memory_used_mb", "memory_free_mb", "memory_reserved_mb")
_DEGREES = ("temperature_gpu", "temperature_memory")
_MOST = {
    **dict.fromkeys(_PERCENT, 250),
    **dict.fromkeys(_MEMORY, MAX_MEMORY_MB),
    **dict.fromkeys(_DEGREES, 1_000),
    "power_watts": 100_000,
}
_MOST_CLOCK = 32_000

#: Of the report itself; a clock may be at 1970, and no further away than a thousand years.
_COUNTS = ("sequence", "stuck", "sweep_seconds", "uptime")
_MOST_OF_REPORT = {
    "sequence": 2**53,
    "stuck": MAX_GPUS,
    "sweep_seconds": 10**6,
    "clock_offset": 32 * 10**9,
    "sent_at": 64 * 10**9,
    "uptime": 32 * 10**9,
}

#: The most processes on one GPU, and the highest number of an Xid: NVIDIA's catalogue ends far below.
_MOST_PROCESSES = 1_000
_MOST_XID = 65_535

#: The most characters of what identifies a GPU.
_LONGEST_NAME = 255


@functools.cache
def _adapter() -> TypeAdapter[MachineReport]:
    return TypeAdapter(MachineReport)


def read_report(told: Mapping[str, Any], name: str) -> MachineReport:
    """The report of the node of this name in a parsed JSON object. Raises Invalid with what is wrong with it."""
    problem = excess(told, depth=DEEPEST, count=MOST_VALUES, longest=LONGEST_TEXT)
    if problem is not None:
        raise Invalid("The report is too large.", mistakes=[Mistake("/report", problem)])
    number = told.get("format")
    # What the next version adds is left out; what a later one changed cannot be known.
    if not isinstance(number, int) or not 1 <= number <= REPORT_FORMAT + 1:
        message = f"is {str(number)[:20]}, and this head reads {REPORT_FORMAT} and {REPORT_FORMAT + 1}"
        raise Invalid(
            "The report is in a form that this head does not read.",
            mistakes=[Mistake("/report/format", message, "Update the older of the two; the head goes first.")],
        )
    try:
        report = validate(_adapter(), MachineReport, told)
    except ValidationError as error:
        details = details_of(error)[:_MOST_MISTAKES]
        raise Invalid(
            "The report cannot be read.", mistakes=[Mistake(_pointer(d["loc"]), plain_words(d)[:200]) for d in details]
        ) from None
    found = itertools.islice(_implausible(report, name), _MOST_MISTAKES)
    mistakes = [Mistake(where, what) for where, what in found]
    if mistakes:
        raise Invalid("The report cannot be true.", mistakes=mistakes)
    return report


def _pointer(parts: Sequence[int | str]) -> str:
    return "/report" + "".join(f"/{str(part)[:64]}" for part in parts)


def _implausible_probe(storage: ToldStorage | None, name: str) -> Iterator[tuple[str, str]]:
    if storage is None:
        return
    if len(storage.seen) > _MOST_PROBES or not _PROBE.fullmatch(storage.file):
        yield "/report/storage", f"names no file of a probe, or more than {_MOST_PROBES}"
    elif fold_name(storage.file.rpartition(".")[0]) != fold_name(name):
        yield "/report/storage/file", "must be a file of this node's own probe"


def _implausible_xids(report: MachineReport) -> Iterator[tuple[str, str]]:
    """Errors of GPUs that the report does not list: a node speaks of no GPU but its own."""
    if len(report.xids) > MOST_XIDS:
        yield (
            "/report/xids",
            f"are {len(report.xids):,}, and the most is {MOST_XIDS}; tell the rest with the next report",
        )
        return
    own = {gpu.identity.uuid for gpu in report.gpus if gpu.identity is not None}
    for number, event in enumerate(report.xids):
        if event.uuid is not None and event.uuid not in own:
            yield f"/report/xids/{number}/uuid", "must be the UUID of a GPU in this report"
        if not 0 <= event.xid <= _MOST_XID:
            yield f"/report/xids/{number}/xid", f"must be from 0 to {_MOST_XID:,}"


def _implausible_lists(gpu: ToldGPU, where: str) -> Iterator[tuple[str, str]]:
    """What there is too much of: each entry would be a series or a row."""
    condition, vitals = gpu.condition, gpu.vitals
    lists = {
        "processes": (gpu.processes, _MOST_PROCESSES),
        "vitals/throttle_reasons": (None if vitals is None else vitals.throttle_reasons, 64),
        "condition/mig_slices": (None if condition is None else condition.mig_slices, 64),
        "condition/nvlinks": (None if condition is None else condition.nvlinks, 64),
    }
    for name, (entries, most) in lists.items():
        if entries is not None and len(entries) > most:
            yield f"{where}/{name}", f"are {len(entries):,}, and the most is {most:,}"


def _implausible(report: MachineReport, name: str) -> Iterator[tuple[str, str]]:
    """What no machine can have: such values would be shown, counted with, and kept."""
    if len(report.gpus) > MAX_GPUS:
        yield "/report/gpus", f"are {len(report.gpus)}, and no machine has more than {MAX_GPUS}"
        return
    yield from _implausible_probe(report.storage, name)
    yield from _implausible_xids(report)
    if not 0.05 <= report.interval <= 3600:
        yield "/report/interval", "must be from 0.05 to 3,600 seconds"
    yield from _implausible_head(report)
    seen: set[str] = set()
    for number, gpu in enumerate(report.gpus):
        where = f"/report/gpus/{number}"
        if gpu.index is not None and not 0 <= gpu.index < 65_536:
            yield f"{where}/index", "must be from 0 to 65,535"
        uuid = None if gpu.identity is None else gpu.identity.uuid
        if uuid is not None and (not _UUID.fullmatch(uuid) or uuid in seen):
            yield f"{where}/identity/uuid", "must be letters, digits, : . - and no other GPU's"
        if uuid is not None:
            seen.add(uuid)
        if gpu.identity is not None and any(len(text) > _LONGEST_NAME for text in _names_in(gpu.identity)):
            yield f"{where}/identity", f"has a text of more than {_LONGEST_NAME} characters"
        if gpu.age is not None and not 0 <= gpu.age <= 1e9:
            yield f"{where}/age", "must be at least 0"
        yield from _implausible_lists(gpu, where)
        if gpu.vitals is not None:
            yield from _implausible_vitals(gpu.vitals, f"{where}/vitals")


def _names_in(identity: GPUIdentity) -> Iterator[str]:
    """The texts of an identity, which become labels of each series."""
    return (value for each in fields(identity) if isinstance(value := getattr(identity, each.name), str))


def _implausible_head(report: MachineReport) -> Iterator[tuple[str, str]]:
    place = report.place
    if not 0 <= place.port <= 65_535 or not _PLAIN.fullmatch(place.host):
        yield "/report/place", "names no host and port"
    plain = (f"{place.machine} {place.started} {report.boot}", report.version)
    if not all(map(_PLAIN.fullmatch, plain)):
        yield "/report", "has a version, machine, start or boot that is no plain text"
    for name, most in _MOST_OF_REPORT.items():
        value, least = getattr(report, name), 0 if name in _COUNTS else -most
        if value is not None and not least <= value <= most:
            yield f"/report/{name}", f"must be from {least:,} to {most:,}"


def _implausible_vitals(vitals: GPUVitals, where: str) -> Iterator[tuple[str, str]]:
    for name, most in _MOST.items():
        value = getattr(vitals, name)
        least = -most if name in _DEGREES else 0
        if value is not None and not least <= value <= most:
            yield f"{where}/{name}", f"must be from {least:,} to {most:,}"
    for clock in fields(Clocks):
        value = getattr(vitals.clocks, clock.name)
        if value is not None and not 0 <= value <= _MOST_CLOCK:
            yield f"{where}/clocks/{clock.name}", f"must be from 0 to {_MOST_CLOCK:,}"
