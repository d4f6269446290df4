"""Check keys one by one: known name, type of value, and bounds."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from api.domain.finding import shown
from api.domain.reason import Reason
from api.errors import FindingText
from api.trainers.diffusion_pipe.config.document import as_integer, number
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.keys import IGNORED, TOP, Key, KeyKind
from api.util.text.suggestions import nearest

REMOVE_KEY = Reason.of("Correct the name, or remove it.", "advice_correct_or_remove")

_TABLES = Reason.of("a list of tables: in TOML, [[name]] in double brackets", "kind_tables")
_KINDS = {
    KeyKind.WHOLE: Reason.of("a whole number", "kind_whole"),
    KeyKind.NUMBER: Reason.of("a number", "kind_number"),
    KeyKind.TEXT: Reason.of("a string", "kind_text"),
    KeyKind.SWITCH: Reason.of("true or false", "kind_switch"),
    KeyKind.LIST: Reason.of("a list", "kind_list"),
    KeyKind.TABLE: Reason.of("a table", "kind_table"),
    KeyKind.OTHER: Reason.of("something that is checked elsewhere", "kind_other"),
}

#: Returns the pointer of a key in the table that is checked.
At = Callable[[str], str]


def check_values(values: Mapping[str, Any], keys: Mapping[str, Key], at: At, findings: Findings) -> None:
    """Check the values of the known keys of one table."""
    for name, value in values.items():
        if name in keys:
            check_value(value, keys[name], at(name), findings)


def check_value(value: Any, key: Key, at: str, findings: Findings) -> bool:
    """Return whether a value is valid for the key; if not, add a finding."""
    if key.truth and isinstance(value, bool):
        findings.warn(
            at,
            FindingText("boolean_as_number", "The trainer uses {value} as the number {number}.", "Set {number}."),
            value=str(value).lower(),
            number=int(value),
        )
        value = int(value)
    elif key.texts and isinstance(value, str) and (found := _as_number(value)) is not None:
        findings.warn(
            at,
            FindingText("number_in_quotes", "The value is a number in quotes.", "Write {value} without quotes."),
            value=shown(value),
        )
        value = found
    if not _is_kind(value, key.kind):
        is_table = key.kind is KeyKind.LIST and isinstance(value, dict)
        wanted = _TABLES if is_table else _wanted(key)
        findings.error(
            at,
            FindingText("value_of_other_kind", "The value is not {kind}.", "Set {wanted}."),
            kind=_KINDS[key.kind],
            wanted=wanted,
        )
        return False
    if key.choices and value not in key.choices:
        findings.error(
            at,
            FindingText("value_unknown", "`{value}` is not a known value.", "Set {wanted}."),
            value=shown(value),
            wanted=_wanted(key),
        )
        return False
    if key.kind is KeyKind.SWITCH and isinstance(value, str) and value:
        findings.warn(
            at,
            FindingText(
                "string_as_boolean",
                "The value is a string, and the trainer treats any string as true.",
                "Set true or false.",
            ),
        )
    if key.kind in (KeyKind.WHOLE, KeyKind.NUMBER) and not _is_within(value, key):
        if value == 0 and key.divides:
            findings.error(at, FindingText("zero_divides", "0 makes the trainer divide by zero.", "Set 1 or more."))
        else:
            findings.error(
                at,
                FindingText("value_out_of_range", "{value} is out of range.", "Set {wanted}."),
                value=shown(value),
                wanted=_wanted(key),
            )
        return False
    return True


def check_names(
    values: Iterable[str], known: Iterable[str], at: At, findings: Findings, elsewhere: Mapping[str, str] | None = None
) -> None:
    """Warn about keys that the trainer does not read; `elsewhere` maps keys of other tables to those tables."""
    names, given = tuple(known), tuple(values)
    for name in given:
        location = at(name)
        if name in names:
            if findings.code.lacks(name):
                findings.warn(
                    location,
                    FindingText(
                        "key_not_read",
                        "The installed trainer does not read `{name}`.",
                        "Update the trainer's checkout, or remove the key.",
                    ),
                    name=shown(name),
                )
        elif name in IGNORED:
            findings.warn(
                location,
                FindingText("key_ignored", "The trainer ignores `{name}` here."),
                remedy=IGNORED[name],
                name=shown(name),
            )
        elif findings.code.reads_new(location):
            findings.warn(
                location,
                FindingText(
                    "key_new", "The installed trainer reads `{name}`, which this service does not know or check."
                ),
                remedy=findings.code.advice(location),
                name=shown(name),
            )
        elif elsewhere and name in elsewhere:
            findings.warn(
                location,
                FindingText("key_elsewhere", "The trainer ignores `{name}` here.", "It belongs in {elsewhere}."),
                name=shown(name),
                elsewhere=elsewhere[name],
            )
        else:
            # A key that is set already, or that the trainer fails on, is no help.
            usable = (each for each in names if each not in given and each != "lora")
            advice = suggest(name, usable) if findings.stores_warnings else REMOVE_KEY
            findings.warn(
                location,
                FindingText("key_unknown", "The trainer does not know `{name}` and ignores it."),
                remedy=advice,
                name=shown(name),
            )


def suggest(name: Any, names: Iterable[str]) -> Reason:
    """Return the nearest known name as a suggestion, or the advice to remove it."""
    lower = {known.lower(): known for known in names}
    near = nearest(str(name).lower(), lower)
    return Reason.of("Did you mean `{name}`?", "did_you_mean", name=lower[near]) if near else REMOVE_KEY


def advise_argument(name: str, names: Iterable[str]) -> Reason:
    """Return the remedy for a key of [optimizer] that is not an argument of the optimizer."""
    if name in TOP:
        return Reason.of(
            "It is a key of the configuration itself: move it above the first table, such as [model].",
            "advice_move_above",
        )
    return suggest(name, names)


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


def _as_number(text: str) -> float | None:
    try:
        return number(float(text))
    except ValueError:
        return None


def _is_within(value: float, key: Key) -> bool:
    if value == math.inf:
        return key.infinite
    if key.least is not None and value < key.least:
        return False
    if key.above is not None and value <= key.above:
        return False
    return key.most is None or value <= key.most


def _wanted(key: Key) -> Reason:
    if key.choices:
        return Reason.of("one of {choices}", "wanted_one_of", choices=", ".join(key.choices))
    kind, least, above, most = (
        _KINDS[key.kind],
        f"{key.least:g}" if key.least is not None else None,
        key.above,
        key.most,
    )
    if least is not None and most is not None:
        return Reason.of(
            "{kind}, at least {least} and at most {most}", "wanted_from_to", kind=kind, least=least, most=f"{most:.0f}"
        )
    if above is not None and most is not None:
        return Reason.of(
            "{kind}, above {above} and at most {most}",
            "wanted_above_to",
            kind=kind,
            above=f"{above:g}",
            most=f"{most:.0f}",
        )
    if least is not None:
        return Reason.of("{kind}, at least {least}", "wanted_from", kind=kind, least=least)
    if above is not None:
        return Reason.of("{kind}, above {above}", "wanted_above", kind=kind, above=f"{above:g}")
    if most is not None:
        return Reason.of("{kind}, at most {most}", "wanted_to", kind=kind, most=f"{most:.0f}")
    return kind
