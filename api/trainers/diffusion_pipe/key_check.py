"""Checks keys one by one: is it known, is its value of the right kind, does it lie within its bounds."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from api.trainers.diffusion_pipe.document import number, whole
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.keys import IGNORED, Key, KeyKind
from api.trainers.pointers import shown
from api.util.suggestions import nearest

LEAVE_OUT = "Correct the name, or leave it out."

#: The pointer of a key in the table that is being checked.
At = Callable[[str], str]


def check_values(values: Mapping[str, Any], keys: Mapping[str, Key], at: At, findings: Findings) -> None:
    """Checks the values of the known keys of one table."""
    for name, value in values.items():
        if name in keys:
            check_value(value, keys[name], at(name), findings)


def check_value(value: Any, key: Key, at: str, findings: Findings) -> bool:
    """Whether a value is what the key holds; says what is wrong otherwise."""
    if not _is_kind(value, key.kind):
        findings.error(at, f"This is not {key.kind.value}.", f"Write {_wanted(key)}.")
        return False
    if key.choices and value not in key.choices:
        findings.error(at, f"`{shown(value)}` is not known here.", f"Write {_wanted(key)}.")
        return False
    if key.kind is KeyKind.SWITCH and isinstance(value, str) and value:
        findings.warn(at, "This is a text, and to the trainer any text means true.", "Write true or false.")
    if key.kind in (KeyKind.WHOLE, KeyKind.NUMBER) and not _is_within(value, key):
        findings.error(at, "The number is out of range.", f"Write {_wanted(key)}.")
        return False
    return True


def check_names(
    values: Iterable[str], known: Iterable[str], at: At, findings: Findings, elsewhere: Mapping[str, str] | None = None
) -> None:
    """Warns of keys that the trainer does not read; `elsewhere` tells where those of other tables belong."""
    names = tuple(known)
    for name in values:
        if name in names:
            continue
        place = at(name)
        if name in IGNORED:
            findings.warn(place, f"The trainer ignores `{shown(name)}` here.", IGNORED[name])
        elif elsewhere and name in elsewhere:
            findings.warn(place, f"The trainer ignores `{shown(name)}` here.", f"It belongs in {elsewhere[name]}.")
        else:
            advice = did_you_mean(name, names) if findings.takes_warnings else LEAVE_OUT
            findings.warn(place, f"The trainer does not know `{shown(name)}` and ignores it.", advice)


def did_you_mean(name: Any, names: Iterable[str]) -> str:
    """The nearest known name as advice, or the advice to leave it out."""
    lower = {known.lower(): known for known in names}
    near = nearest(str(name).lower(), lower)
    return f"Did you mean `{lower[near]}`?" if near else LEAVE_OUT


def _is_kind(value: Any, kind: KeyKind) -> bool:
    match kind:
        case KeyKind.WHOLE:
            return whole(value) is not None
        case KeyKind.NUMBER:
            return number(value) is not None or value == math.inf
        case KeyKind.TEXT:
            return isinstance(value, str)
        case KeyKind.SWITCH:
            return isinstance(value, bool | int | float | str)
        case KeyKind.LIST:
            return isinstance(value, list)
        case KeyKind.TABLE:
            return isinstance(value, dict)
        case KeyKind.OTHER:
            return True


def _is_within(value: float, key: Key) -> bool:
    if value == math.inf:
        return key.infinite
    if key.least is not None and value < key.least:
        return False
    if key.above is not None and value <= key.above:
        return False
    return key.most is None or value <= key.most


def _wanted(key: Key) -> str:
    if key.choices:
        return "one of " + ", ".join(key.choices)
    if key.least is None and key.above is None and key.most is None:
        return key.kind.value
    bounds = []
    if key.least is not None:
        bounds.append(f"at least {key.least:g}")
    if key.above is not None:
        bounds.append(f"above {key.above:g}")
    if key.most is not None:
        bounds.append(f"at most {key.most:.0f}")
    return f"{key.kind.value}, {' and '.join(bounds)}"
