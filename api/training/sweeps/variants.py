"""Build the requests of a sweep: one for each combination of the values."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from api.domain.finding import make_finding
from api.domain.tasks.sweep import (
    LONGEST_NAME,
    Variation,
    combine,
    is_below,
    is_index,
    label,
    name_each,
    show_value,
    split,
)
from api.domain.tasks.training import TrainingRequest
from api.errors import Finding, FindingText, Invalid
from api.training.output.resume_points import change_request
from api.util.text.masking import is_secret_name, mask_secrets

SECRET_VARIES = FindingText("secret_varies", "A secret cannot vary.", "Write it into the request.")

#: Maximum number of trainings of a sweep.
MOST_TRAININGS = 64

#: The parts of a request whose values can vary. Texts of the trainer's files are varied through `config`.
VARIED_FIELDS = (
    "model_type", "config", "dataset", "gpu_id", "gpu_ids", "gpu_count", "min_memory", "priority", "max_retries",
    "keep_last_checkpoints",
)  # fmt: skip

#: Reads a body of /training/start: the request, None if it cannot be checked, and the errors in its form.
ReadRequest = Callable[[Any], tuple[TrainingRequest | None, list[Finding]]]


@dataclass(frozen=True, slots=True)
class SweepVariant:
    """One training of a sweep before it is checked."""

    name: str
    values: Mapping[str, Any]  #: its own values by pointer
    request: TrainingRequest | None  #: None if its errors leave nothing to check
    mistakes: tuple[Finding, ...] = ()  #: errors in its form

    def describe(self, varied: Sequence[Variation]) -> str:
        """Return its values as text: lr = 1e-4, rank = 16."""
        return mask_secrets(", ".join(f"{one.label} = {show_value(self.values[one.pointer])}" for one in varied))


@dataclass(frozen=True, slots=True)
class SweepVariants:
    """All trainings of a sweep before they are checked."""

    name: str
    varied: tuple[Variation, ...]
    all: tuple[SweepVariant, ...] = ()
    mistakes: tuple[Finding, ...] = ()  #: errors that leave no trainings


def read_variants(
    body: Mapping[str, Any], values: Mapping[str, Sequence[Any]], name: str | None, read: ReadRequest
) -> SweepVariants:
    """Return the trainings of a sweep, or errors: values that cannot vary, or too many trainings."""
    mistakes = _check_values(values)
    if body.get("queue") is False:
        mistakes.append(
            make_finding(
                "/request/queue",
                FindingText(
                    "sweep_not_queued",
                    "The trainings of a sweep wait for their GPUs.",
                    "Leave it out, or start a single training.",
                ),
            )
        )
    number = prod(len(tried) for tried in values.values())
    if not mistakes and number > MOST_TRAININGS:
        mistakes.append(
            make_finding(
                "/values",
                FindingText(
                    "sweep_too_large",
                    "These are {number} trainings, and a sweep has at most {most}.",
                    "Try fewer values, or make several sweeps.",
                ),
                number=f"{number:,}",
                most=MOST_TRAININGS,
            )
        )
    varied = label(values)
    base = mask_secrets(name or _text(body.get("name")) or _text(body.get("model_type")) or "sweep")
    if mistakes:
        return SweepVariants(base, varied, mistakes=tuple(mistakes))
    combinations = combine(varied)
    names = name_each(base, varied, combinations)
    found = zip(names, combinations, strict=True)
    return SweepVariants(base, varied, tuple(_read_variant(body, name, values, read) for name, values in found))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME else None


def _check_values(values: Mapping[str, Sequence[Any]]) -> list[Finding]:
    mistakes = []
    for pointer, tried in values.items():
        at = f"/values/{pointer.replace('~', '~0').replace('/', '~1')}"
        if not pointer.startswith("/") or split(pointer)[0] not in VARIED_FIELDS:
            mistakes.append(
                make_finding(
                    at,
                    FindingText(
                        "sweep_pointer_invalid",
                        "This is no JSON pointer to a setting that can vary.",
                        "Begin it with {fields}: for example /config/optimizer/lr.",
                    ),
                    fields=f"/{', /'.join(VARIED_FIELDS)}",
                )
            )
        elif is_secret_name(split(pointer)[-1]):
            mistakes.append(make_finding(at, SECRET_VARIES))
        elif any(other != pointer and is_below(pointer, other) for other in values):
            mistakes.append(
                make_finding(
                    at,
                    FindingText(
                        "sweep_pointer_contained",
                        "Another of these pointers contains this setting.",
                        "Leave one of them out.",
                    ),
                )
            )
        repeated = [each for each, count in Counter(map(_identity, tried)).items() if count > 1]
        if repeated:
            mistakes.append(
                make_finding(
                    at,
                    FindingText("sweep_value_twice", "The value {value} is there twice.", "List each value once."),
                    value=show_value(json.loads(repeated[0])),
                )
            )
    return mistakes


def _identity(value: Any) -> str:
    """Return equal texts for equal values: 1 and 1.0 are the same setting."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _read_variant(body: Mapping[str, Any], name: str, values: Mapping[str, Any], read: ReadRequest) -> SweepVariant:
    own: Any = {**body, "name": name, "queue": True}
    if body.get("name") and _text(body["name"]) is None:
        # Its error is reported like that of a start.
        own["name"] = body["name"]
    in_text: dict[str, Any] = {}
    mistakes = []
    for pointer, value in values.items():
        # Settings of the trainer's own text are changed in it.
        is_in_text = is_below(pointer, "/config") and body.get("config_toml") is not None
        try:
            if is_in_text:
                in_text = put(in_text, split(pointer)[1:], value)
            else:
                own = put(own, split(pointer), value)
        except LookupError:
            mistakes.append(
                make_finding(
                    pointer,
                    FindingText(
                        "sweep_setting_missing",
                        "The request has no such setting.",
                        "Correct the pointer, or write the setting into the request.",
                    ),
                )
            )
    request, found = read(own)
    if in_text and request is not None:
        try:
            request = change_request(request, {"config": in_text})
        except Invalid as error:
            mistakes += [replace(each, remedy=None, remedy_code=None) for each in error.mistakes]
    return SweepVariant(name, values, request, (*mistakes, *found))


def put(document: Any, path: Sequence[str], value: Any) -> Any:
    """Return a copy of a JSON document with this value at a path. Missing objects are created.

    Raise LookupError if the path leads through a text or number, or to an item that a list does not have.
    """
    if not path:
        return value
    first, *rest = path
    if document is None:
        document = {}
    if isinstance(document, dict):
        return {**document, first: put(document.get(first), rest, value)}
    if isinstance(document, list) and _is_item(document, first):
        at = int(first)
        return [*document[:at], put(document[at], rest, value), *document[at + 1 :]]
    raise LookupError(first)


def _is_item(document: Sequence[Any], part: str) -> bool:
    # Python refuses to convert thousands of digits.
    return is_index(part) and len(part) < 10 and int(part) < len(document)
