"""Requests that pydantic validates within limits of size, and its errors as mistakes in plain language."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from api.errors import Finding, FindingText
from api.util.http.pagination import CURSOR
from api.util.text.suggestions import nearest

#: Maximum number of fields of one object; far more than any request has.
MAX_FIELDS = 1_000

#: Maximum length of a name in a response.
LONGEST_NAME = 200
_MUST = "must be "
_TIME = "must be a time with its zone, such as 2026-11-25T09:00:00Z"

#: Codes and messages by pydantic's type of error. Values in braces come from the rule, never from the request.
_MESSAGES = {
    "missing": ("value_missing", "is missing"),
    "string_type": ("value_not_text", "must be text"),
    "string_sub_type": ("value_not_text", "must be text"),
    "string_too_short": ("value_text_too_short", "must have at least {min_length} characters"),
    "string_too_long": ("value_text_too_long", "must have at most {max_length} characters"),
    "int_type": ("value_not_whole", "must be a whole number"),
    "int_parsing": ("value_not_whole", "must be a whole number"),
    "int_from_float": ("value_not_whole", "must be a whole number"),
    "int_parsing_size": ("value_number_too_large", "must be a smaller number"),
    "float_type": ("value_no_number", "must be a number"),
    "float_parsing": ("value_no_number", "must be a number"),
    "finite_number": ("value_not_finite", "must be a finite number"),
    "bool_type": ("value_not_boolean", "must be true or false"),
    "bool_parsing": ("value_not_boolean", "must be true or false"),
    "list_type": ("value_not_list", "must be a list"),
    "dict_type": ("value_not_object", "must be an object"),
    "model_type": ("value_not_object", "must be an object"),
    "model_attributes_type": ("value_not_object", "must be an object"),
    "too_short": ("value_too_few_values", "must hold at least {min_length} values"),
    "too_long": ("value_too_many_values", "must hold at most {max_length} values"),
    "greater_than": ("value_not_above", "must be more than {gt}"),
    "greater_than_equal": ("value_below_minimum", "must be at least {ge}"),
    "less_than": ("value_not_below", "must be less than {lt}"),
    "less_than_equal": ("value_above_maximum", "must be at most {le}"),
    "enum": ("value_not_listed", "must be one of {expected}"),
    "literal_error": ("value_not_listed", "must be one of {expected}"),
    "datetime_type": ("value_not_time", _TIME),
    "datetime_parsing": ("value_not_time", _TIME),
    "datetime_from_date_parsing": ("value_not_time", _TIME),
    "datetime_object_invalid": ("value_not_time", _TIME),
    "timezone_aware": ("value_not_time", _TIME),
}

_ONE = re.compile(r"\b1 (character|value)s\b")

#: One line of text. It excludes characters that end a line, control a terminal or reverse the direction of text
#: (Unicode's Bidi_Control), with which "gnp.exe" would be shown as something else.
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$"

#: One line without quotation marks and backslashes, since lists of tags are searched as stored.
ONE_TAG = ONE_LINE.replace(r"]*$", r'"\\]*$')

#: Text that every database accepts.
NO_NUL = r"^[^\x00]*$"

#: Code and message for each regular expression of the requests.
_PATTERNS = {
    ONE_LINE: (
        "value_line_with_controls",
        "must be one line without control characters, those for the direction of text included",
    ),
    NO_NUL: ("value_text_with_nul", "must not hold NUL characters"),
    r"^\w+$": ("value_not_word", "must consist of letters, digits and underscores"),
    r"^[0-9a-fA-F]{64}$": ("value_not_sha256", "must be a SHA-256: 64 hexadecimal digits"),
    ONE_TAG: ("value_not_tag", "must be one line without control characters, quotation marks and backslashes"),
    CURSOR: ("value_not_cursor", "must be a `next_cursor` of the page before"),
    r"^[0-9]{1,18}\.[0-9]{1,18}$": ("value_not_cursor", "must be a `next_cursor` of the page before"),
    r"^[1-9][0-9]{0,5}[smhd]$": ("value_not_time_ago", "must be a time ago, such as 15m, 6h or 1d"),
    r"^[A-Za-z0-9_.\-]{1,64}$": ("value_not_label", "must be 1 to 64 letters, digits and _ . -"),
    r"^[A-Za-z0-9_.,\-]{1,256}$": ("value_not_labels", "must be names by comma, of letters, digits and _ . -"),
    r"^[A-Za-z0-9_.,&|*:\[\]()\-]{1,256}$": (
        "value_not_features",
        "must be features of machines, joined by & or |, such as h100&nvlink",
    ),
    r"^[A-Za-z0-9_:.\-]{1,80}$": ("value_not_gpu", "must be a GPU's index or UUID"),
    r"^[A-Za-z0-9][A-Za-z0-9._@\-]{0,63}$": (
        "value_not_user_name",
        "must be 1 to 64 letters, digits, . _ @ - beginning with a letter or digit",
    ),
    r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$": (
        "value_not_picture_size",
        "must be a width and a height in pixels, such as 512x512",
    ),
    r"^[A-Za-z0-9][A-Za-z0-9 ._:@-]*$": (
        "value_not_name_with_spaces",
        "must be letters, digits, spaces and . _ : @ -, first a letter or digit",
    ),
    r"^[A-Za-z0-9_]+$": ("value_not_word", "must consist of letters, digits and underscores"),
    r"^[0-9A-Za-z:.\-]{1,80}$": ("value_not_gpu_uuid", "must be a GPU's UUID, such as GPU-1a2b3c4d-…"),
    r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,99}$": (
        "value_not_name",
        "must be 1 to 100 letters, digits, . _ - beginning with a letter or digit",
    ),
    r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,99}(@[1-9][0-9]{0,8})?$": (
        "value_not_sample_set",
        "must be the name of a sample set, or its name and version, such as portraits@2",
    ),
    r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,99}$": (
        "value_not_name_without_dots",
        "must be 1 to 100 letters, digits, _ - beginning with a letter or digit",
    ),
    r"^[a-z][a-z0-9._\-]{0,39}$": (
        "value_not_alias",
        "must be 1 to 40 small letters, digits, . _ - beginning with a letter, such as prod",
    ),
    r"^[A-Za-z0-9][A-Za-z0-9._/\-]{0,199}$": (
        "value_not_revision",
        "must be a branch, a tag or a commit of the repository",
    ),
    r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,95}/[A-Za-z0-9][A-Za-z0-9._\-]{0,95}$": (
        "value_not_repository",
        "must be owner/name, as the hub calls the repository: letters, digits, . _ -",
    ),
    r"^https?://[^\s\x00-\x1f\x7f/][^\s\x00-\x1f\x7f]*$": (
        "value_not_http_address",
        "must be an address that begins with https:// or http://",
    ),
    r"^https?://[!-~]{1,500}$": (
        "value_not_http_address_of_500",
        "must be an address that begins with https:// or http://, of at most 500 characters",
    ),
    r"^([A-Za-z0-9_][A-Za-z0-9._\-]{0,99}/){0,5}[A-Za-z0-9_][A-Za-z0-9._\-]{0,99}\.safetensors$": (
        "value_not_weights_path",
        "must be a path in the repository that ends in .safetensors, of letters, digits, . _ -",
    ),
    r"^[a-z0-9][a-z0-9.\-]{0,59}$": ("value_not_licence", "must be a licence as the hub calls it, such as apache-2.0"),
    r"^/[^\x00]*$": ("value_not_absolute_path", "must be a path on the server's machine that begins with /"),
    r"^[^\x00-\x1f\x7f]*$": ("value_line_with_controls_only", "must be one line without control characters"),
    r"^[^\x00-\x1f\x7f]+$": (
        "value_line_empty_or_with_controls",
        "must be one line without control characters, and not empty",
    ),
    r"^[!-~]*$": ("value_not_plain_word", "must be one word of plain characters"),
    r"^[0-9a-f]{16}$": ("value_not_item_id", "must be the id of an item: 16 hexadecimal digits"),
    r"^sweep_[0-9]{8}_[0-9a-z]{8}$": (
        "value_not_sweep_id",
        "must be the id of a sweep, such as sweep_20261124_07k2m9xq",
    ),
    r"^[0-9a-f]{32}$": ("value_not_id", "must be an id of 32 hexadecimal digits"),
    r"^[A-Za-z0-9_]{1,64}(,[A-Za-z0-9_]{1,64}){1,7}$": (
        "value_not_training_ids",
        "must be two to eight ids of trainings, separated by commas",
    ),
    r"^[0-9]{1,18}:[0-9a-f]{64}$": ("value_not_audit_entry", "must be an entry's number, a colon and its hash"),
    r"^[a-z_]{1,64}$": ("value_not_small_letters", "must be small letters and _, at most 64 of them"),
    r"^[a-z0-9_]{1,64}$": ("value_not_small_word", "must be small letters, digits and _, at most 64 of them"),
    r"^-?[0-9]{1,20}$": ("value_not_digits", "must be a whole number of at most 20 digits"),
    r"^[A-Za-z0-9_+\-/]+$": ("value_not_time_zone", "must be a time zone, such as Europe/Vienna"),
    r"^[0-9]{1,2}:[0-9]{2}$": ("value_not_time_of_day", "must be a time of the day, such as 22:30"),
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": ("value_not_time_of_day", "must be a time of the day, such as 22:30"),
    r"^\d{2,5}(x\d{2,5})?$": (
        "value_not_side_or_size",
        "must be a side or a width and a height in pixels, such as 512 or 1280x720",
    ),
    r"^[\d.,]+$": ("value_not_numbers", "must be numbers by comma, such as 0.5,1,2"),
    r"^\d+(,\d+)*$": ("value_not_whole_numbers", "must be whole numbers by comma, such as 1,33"),
    r"^single_(beginning|middle)$": ("value_not_clip_mode", "must be single_beginning or single_middle"),
    r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}$": (
        "value_not_name_of_128",
        "must be 1 to 128 letters, digits, _ . - beginning with a letter or digit",
    ),
}

_K = TypeVar("_K")

#: Maximum number of findings; one more states how many are left out.
MAX_MISTAKES = 200


class Strict(BaseModel):
    """The base of requests; an unknown field is a mistake."""

    # Most are rarely used: building on first use saves 1 MB.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _limit_fields(cls, fields: Any) -> Any:
        # Checked before each unknown field becomes a finding: sixty thousand would take a second.
        if isinstance(fields, Mapping) and len(fields) > MAX_FIELDS:
            raise PydanticCustomError(
                "value_too_many_fields",
                "has {number} fields, and the most is {most}",
                {"number": f"{len(fields):,}", "most": MAX_FIELDS},
            )
        return fields

    @field_validator("*", mode="before")
    @classmethod
    def _reject_nul(cls, value: Any) -> Any:
        # PostgreSQL accepts no NUL in a text. Nested values are stored as JSON, which may contain it, or have their own
        # check.
        texts = value if isinstance(value, list) else (value,)
        if any(isinstance(text, str) and "\0" in text for text in texts):
            code, message = _PATTERNS[NO_NUL]
            raise PydanticCustomError(code, message)
        return value


def mistakes_in(error: ValidationError, noun: str = "field") -> list[Finding]:
    """Return the mistakes, each with its JSON pointer; several about one value are joined.

    `noun` is the kind of input in the messages.
    """
    model = next(model for model in _requests(Strict) if model.__name__ == error.title)
    found: dict[str, list[Problem]] = {}
    details = details_of(error)
    for detail in details[:MAX_MISTAKES]:
        location = _location(model, detail["loc"])
        if detail["type"] == "extra_forbidden":
            holder = _nested(model, str(location[0])) if len(location) > 1 else None
            problem = _unknown(noun, str(location[-1]), list((holder or model).model_fields))
        else:
            problem = describe_error(detail)
        problems = found.setdefault("".join(f"/{_pointer_part(part)}" for part in location), [])
        if problem not in problems:
            problems.append(problem)
    mistakes = [_join(problems).at(pointer) for pointer, problems in found.items()]
    return capped(mistakes, dropped=max(len(details) - MAX_MISTAKES, 0))


def details_of(error: ValidationError) -> list[ErrorDetails]:
    """Return pydantic's errors without the values of the request."""
    return error.errors(include_url=False, include_input=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one value: message, its code if it has one, and the values in it."""

    message: str
    code: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def at(self, pointer: str) -> Finding:
        """Return the finding about the value at this pointer."""
        return Finding(pointer, self.message, None, self.code, self.params)

    def as_parameter(self) -> object:
        """Return it as a parameter of another message."""
        return self.message if self.code is None else {"text": self.message, "code": self.code, "params": self.params}


def describe_error(detail: ErrorDetails) -> Problem:
    """Return the problem of one value in plain language, without pydantic's terms.

    A validator that raises PydanticCustomError names a code of its own.
    """
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "string_pattern_mismatch":
        code, message = _PATTERNS.get(context["pattern"], (None, f"must match the pattern {context['pattern']}"))
        return Problem(message, code)
    params = {name: _number(value) for name, value in context.items()}
    if kind not in _MESSAGES:
        is_coded = kind.startswith("value_") and kind != "value_error"
        message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        return Problem(message, kind, params) if is_coded else Problem(message)
    code, template = _MESSAGES[kind]
    message = _ONE.sub(r"1 \1", template.format(**params))
    if "expected" in params:
        params["expected"] = str(params["expected"]).replace(" or ", ", ")
    return Problem(message, code, params)


def _join(problems: Sequence[Problem]) -> Problem:
    """Return the problem that joins those of one value, which come from its alternative types."""
    if len(problems) == 1:
        return problems[0]
    message = " or ".join(_without_repetition([each.message for each in problems]))
    return Problem(message, "value_alternatives", {"problems": [each.as_parameter() for each in problems]})


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.15g}"


def _without_repetition(messages: Sequence[str]) -> list[str]:
    """Return the first message in full, and of the others only the differing part: "must be a whole number or text"."""
    first, *others = messages
    begins = first.startswith(_MUST)
    return [first, *(other.removeprefix(_MUST) if begins else other for other in others)]


def _location(model: type[Strict], parts: Sequence[int | str]) -> list[int | str]:
    # If a value may have several types, the names of the types follow; they are not part of the request.
    found: list[int | str] = []
    holder: type[Strict] | None = model
    is_key = is_type = False
    for part in parts:
        if isinstance(part, int):
            found.append(part)
        elif is_type:
            is_type = False
        elif holder is not None or is_key:
            found.append(part)
            is_key = holder is not None and _is_mapping(holder, part)
            is_type = holder is not None and _has_several_types(holder, part)
            holder = None if holder is None else _nested(holder, part)
    return found


def _has_several_types(model: type[Strict], name: str) -> bool:
    field = model.model_fields.get(name)
    if field is None or get_origin(field.annotation) not in (Union, UnionType):
        return False
    return sum(kind is not NoneType for kind in get_args(field.annotation)) > 1


def _is_mapping(model: type[Strict], name: str) -> bool:
    field = model.model_fields.get(name)
    kinds = () if field is None else (field.annotation, *get_args(field.annotation))
    return any(get_origin(kind) is dict for kind in kinds)


def _nested(model: type[Strict], name: str) -> type[Strict] | None:
    """Return the model of a field; None if it has none."""
    field = model.model_fields.get(name)
    kinds = () if field is None else (field.annotation, *get_args(field.annotation))
    plain = (get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds)
    return next((kind for kind in plain if isinstance(kind, type) and issubclass(kind, Strict)), None)


def _pointer_part(part: int | str) -> str:
    text = str(part)
    shown = text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + "…"
    return shown.replace("~", "~0").replace("/", "~1")


def _unknown(noun: str, name: str, known: Sequence[str]) -> Problem:
    if similar := nearest(name, known):
        return Problem(
            f'unknown {noun}; did you mean "{similar}"?', "value_unknown_field_similar", {"similar": similar}
        )
    names = ", ".join(known)
    return Problem(f"unknown {noun}; known are: {names}", "value_unknown_field", {"known": names})


def _requests(model: type[Strict]) -> Iterator[type[Strict]]:
    for below in model.__subclasses__():
        yield below
        yield from _requests(below)


def forget_absent(known: dict[_K, Any], present: Collection[_K], spare: int = 1_000) -> None:
    """Delete the entries of absent keys, once there are more than `spare` of them."""
    if len(known) > len(present) + spare:
        for key in known.keys() - present:
            del known[key]


def excess(
    values: Any, *, depth: int, count: int, characters: int | None = None, longest: int | None = None
) -> str | None:
    """Return a sentence that names the limit that values (of JSON or TOML) exceed; None if they exceed none.

    `characters` limits the total length of all texts and keys, `longest` the length of each.
    """
    found, length = 0, 0
    pending: list[tuple[Any, int]] = [(values, 0)]
    while pending:
        value, level = pending.pop()
        found += 1
        if level > depth:
            return f"This is nested more than {depth} levels deep."
        if isinstance(value, str):
            length += len(value)
            if longest is not None and len(value) > longest:
                return f"A text in it has {len(value):,} characters, and the most is {longest:,}."
            continue
        if isinstance(value, dict):
            # Counted before they are listed, so that too many cost nothing.
            children: Sequence[Any] = list(value.values()) if len(value) <= count else range(len(value))
            if longest is not None and len(value) <= count:
                children = [*children, *value]
            length += sum(map(len, value)) if characters is not None and len(value) <= count else 0
        else:
            children = value if isinstance(value, list | tuple) else ()
        if found + len(pending) + len(children) > count:
            return f"These are more than {count:,} values."
        if characters is not None and length > characters:
            break
        pending.extend((child, level + 1) for child in children)
    if characters is not None and length > characters:
        return f"The texts in it are longer than {characters:,} characters together."
    return None


MORE_FINDINGS = FindingText(
    "more_findings",
    "There {left_out|is|are} {number} more {left_out|finding|findings} than these.",
    "Fix these, then check again.",
)


def capped(mistakes: Sequence[Finding], dropped: int = 0) -> list[Finding]:
    """Return at most `MAX_MISTAKES` findings, and one that counts the rest.

    `dropped` is the number of findings that were left out before.
    """
    left_out = max(len(mistakes) - MAX_MISTAKES, 0) + dropped
    shown = list(mistakes[:MAX_MISTAKES])
    return shown if not left_out else [*shown, more_than_these(left_out)]


def more_than_these(left_out: int) -> Finding:
    """Return the finding that counts those that are not shown."""
    are = "is 1 more finding" if left_out == 1 else f"are {left_out:,} more findings"
    return Finding(
        "",
        f"There {are} than these.",
        MORE_FINDINGS.remedy,
        MORE_FINDINGS.code,
        {"left_out": left_out, "number": f"{left_out:,}"},
        remedy_code=f"{MORE_FINDINGS.code}_remedy",
    )
