"""Findings with a code, from the table of their texts."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from api.domain.finding_texts import FINDINGS
from api.domain.reason import Reason, ReasonCode, fill
from api.errors import Finding, ServiceError


def make_finding(
    pointer: str, code: str, /, *, about: Iterable[str] = (), remedy: Reason | None = None, **params: Any
) -> Finding:
    """Return the finding of this code. `remedy` is the one of this case, where the table has none."""
    message, advice = FINDINGS[code]
    plain = {name: _plain(value) for name, value in params.items()}
    text = remedy_code = None
    if remedy is not None:
        text, remedy_code, plain["advice"] = remedy.text, "advice", remedy
    elif advice is not None:
        text, remedy_code = fill(advice, plain), f"{code}_remedy"
    said = Reason.of(message, code, **plain)
    return Finding(pointer, said.text, text, code, said.said.params, tuple(about), remedy_code)


def finding_of(pointer: str, problem: ServiceError, code: str = "refused") -> Finding:
    """Return an error as a finding. Its text has the code of the error, unless it has one of its own."""
    return make_finding(pointer, code, why=Reason(problem.detail, problem.said or ReasonCode(problem.code)))


def wrap_finding(finding: Finding, pointer: str, code: str, /, **params: Any) -> Finding:
    """Return the finding with the text of this code around its own, which is `{inner}` there."""
    coded = codes_of(finding)[0]
    inner = finding.message if coded is None else Reason(finding.message, coded)
    found = make_finding(pointer, code, about=finding.about, inner=inner, **params)
    return replace(
        found,
        remedy=finding.remedy,
        params={**(finding.params or {}), **(found.params or {})},
        remedy_code=finding.remedy_code,
    )


def codes_of(finding: Finding) -> tuple[ReasonCode | None, ReasonCode | None]:
    """Return the codes of a finding's message and remedy, each None if it has none."""
    params = finding.params or {}
    message = None if finding.code is None else ReasonCode(finding.code, params)
    return message, None if finding.remedy_code is None else ReasonCode(finding.remedy_code, params)


def _plain(value: Any) -> Any:
    """Return a parameter as JSON can contain it; texts show it in the same way."""
    if isinstance(value, Reason):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number or isinstance(value, str) else str(value)


_LONGEST_SHOWN = 80


def shown(text: object) -> str:
    """Return a name that is safe in a message: bounded, on one line, without control characters or lone surrogates."""
    full = str(text)
    cut = full[:_LONGEST_SHOWN] + ("…" if len(full) > _LONGEST_SHOWN else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in cut)


def pointer(*path: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of these keys and indices."""
    return "".join("/" + shown(part).replace("~", "~0").replace("/", "~1") for part in path)
