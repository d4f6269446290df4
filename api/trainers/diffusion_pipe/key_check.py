"""Checks keys one by one: known name, type of value, and bounds."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from api.trainers.diffusion_pipe.document import as_integer, number
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.keys import IGNORED, Key, KeyKind
from api.trainers.pointers import shown
from api.util.suggestions import nearest

REMOVE_KEY = "Correct the name, or remove it."

#: Returns the pointer of a key in the table that is checked.
At = Callable[[str], str]


def check_values(values: Mapping[str, Any], keys: Mapping[str, Key], at: At, findings: Findings) -> None:
    """Check the values of the known keys of one table."""
    for name, value in values.items():
        if name in keys:
            check_value(value, keys[name], at(name), findings)


def check_value(value: Any, key: Key, at: str, findings: Findings) -> bool:
    """Return whether a value is valid for the key; if not, add a finding."""
    if not _is_kind(value, key.kind):
        findings.error(at, f"The value is not {key.kind.value}.", f"Set {_wanted(key)}.")
        return False
    if key.choices and value not in key.choices:
        findings.error(at, f"`{shown(value)}` is not a known value.", f"Set {_wanted(key)}.")
        return False
    if key.kind is KeyKind.SWITCH and isinstance(value, str) and value:
        findings.warn(at, "The value is a string, and the trainer treats any string as true.", "Set true or false.")
    if key.kind in (KeyKind.WHOLE, KeyKind.NUMBER) and not _is_within(value, key):
        findings.error(at, "The number is out of range.", f"Set {_wanted(key)}.")
        return False
    return True


def check_names(
    values: Iterable[str], known: Iterable[str], at: At, findings: Findings, elsewhere: Mapping[str, str] | None = None
) -> None:
    """Warn about keys that the trainer does not read; `elsewhere` maps keys of other tables to those tables."""
    names = tuple(known)
    for name in values:
        if name in names:
            continue
        location = at(name)
        if name in IGNORED:
            findings.warn(location, f"The trainer ignores `{shown(name)}` here.", IGNORED[name])
        elif elsewhere and name in elsewhere:
            findings.warn(location, f"The trainer ignores `{shown(name)}` here.", f"It belongs in {elsewhere[name]}.")
        else:
            advice = did_you_mean(name, names) if findings.stores_warnings else REMOVE_KEY
            findings.warn(location, f"The trainer does not know `{shown(name)}` and ignores it.", advice)


def did_you_mean(name: Any, names: Iterable[str]) -> str:
    """Return the nearest known name as a suggestion, or the advice to remove it."""
    lower = {known.lower(): known for known in names}
    near = nearest(str(name).lower(), lower)
    return f"Did you mean `{lower[near]}`?" if near else REMOVE_KEY


def _is_kind(value: Any, kind: KeyKind) -> bool:
    match kind:
        case KeyKind.WHOLE:
            return as_integer(value) is not None
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
