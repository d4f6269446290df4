"""Sweeps: trainings of one request that differ in some values. No I/O."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import product
from typing import Any

from api.util.text.masking import mask_secrets

SWEEP_ID = r"^sweep_[0-9]{8}_[0-9a-z]{8}$"

#: Short names of settings whose own names would make the names of trainings long.
_SHORT = {"micro_batch_size_per_gpu": "batch", "gradient_accumulation_steps": "accumulation", "warmup_steps": "warmup"}

#: Limits of characters of a value in a name, and of a whole name.
LONGEST_VALUE, LONGEST_NAME = 40, 200


class SweepStatus(StrEnum):
    """The status of a sweep, which follows from those of its trainings."""

    QUEUED = "queued"  #: none of its trainings has started
    RUNNING = "running"  #: some of its trainings have not ended
    STOPPING = "stopping"  #: those that have not ended are stopping
    FINISHED = "finished"  #: all of its trainings have ended


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """The rule by which unpromising trainings of a sweep are stopped."""

    after_share: float = 0.3  #: share of a training's steps before which it is never stopped
    margin: float = 0.1  #: share of the median by which a loss must exceed it


@dataclass(frozen=True, slots=True)
class Variation:
    """A setting with the values that a sweep tries."""

    pointer: str  #: JSON pointer into the request
    label: str  #: its short name, unique within the sweep
    values: tuple[Any, ...]  #: in the order of the request


@dataclass(frozen=True, slots=True)
class StoredSweep:
    """A sweep as it is stored. Everything else is known from its trainings."""

    sweep_id: str
    name: str
    owner: str | None
    varied: tuple[Variation, ...]
    early_stop: EarlyStop | None
    created_at: datetime
    serial: int = 0  #: assigned by the store


def label(values: Mapping[str, Sequence[Any]]) -> tuple[Variation, ...]:
    """Return the settings with short names: the last parts of their pointers, as many as make them unique."""
    parts = {pointer: [_SHORT.get(part, part) for part in split(pointer) if not is_index(part)] for pointer in values}

    def short(pointer: str) -> str:
        own = parts[pointer]
        for length in range(1, len(own) + 1):
            if sum(own[-length:] == other[-length:] for other in parts.values()) == 1:
                return ".".join(own[-length:])
        return pointer

    return tuple(Variation(pointer, short(pointer), tuple(tried)) for pointer, tried in values.items())


def combine(varied: Sequence[Variation]) -> list[dict[str, Any]]:
    """Return the values of each training by pointer. The last setting varies fastest."""
    pointers = [one.pointer for one in varied]
    return [dict(zip(pointers, values, strict=True)) for values in product(*(one.values for one in varied))]


def name_each(base: str, varied: Sequence[Variation], combinations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a unique, readable name for each combination, such as cats-lr1e-4-rank16."""
    names: list[str] = []
    for values in combinations:
        tail = "".join(f"-{_show_in_name(one, values[one.pointer])}" for one in varied)
        tail = tail[-(LONGEST_NAME - 8) :]
        name, number = base[: LONGEST_NAME - 4 - len(tail)] + tail, 1
        while name in names:
            number += 1
            name = f"{base[: LONGEST_NAME - 4 - len(tail)]}{tail}-{number}"
        names.append(name)
    return names


def _show_in_name(varied: Variation, value: Any) -> str:
    shown = show_value(value)
    if isinstance(value, str):
        return shown.rpartition("/")[2] or shown
    return f"{varied.label}{shown}" if is_index(shown[:1]) else f"{varied.label}-{shown}"


def show_value(value: Any) -> str:
    """Return a short form of a value on one line, without secrets: 1e-4 for 0.0001."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and math.isfinite(value):
        return _show_number(value)
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    # Masked before it is cut, because the beginning of a key alone does not look like one.
    plain = "".join(character for character in mask_secrets(text) if character.isprintable())
    return plain if len(plain) <= LONGEST_VALUE else f"{plain[: LONGEST_VALUE - 1]}…"


def _show_number(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.15g}"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    first, *rest = map(str, digits)
    mantissa = first + ("." + "".join(rest) if rest else "")
    return f"{'-' * sign}{mantissa}e{int(exponent) + len(digits) - 1}"


def split(pointer: str) -> list[str]:
    """Return the parts of a JSON pointer (RFC 6901)."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def is_index(part: str) -> bool:
    """Return whether a part of a JSON pointer can be the index of a list: ASCII digits only."""
    return part.isascii() and part.isdecimal()


def is_below(pointer: str, above: str) -> bool:
    """Return whether a pointer names the same place as another one, or a place in it."""
    return pointer == above or pointer.startswith(f"{above}/")
