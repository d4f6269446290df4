"""The environment variables that a request may set for its trainer, and which of them are secrets."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from api.domain.finding import make_finding
from api.errors import Finding
from api.trainers.pointers import pointer, shown
from api.trainers.variables import ENDPOINTS, FORMS, VARIABLES, Variable, VariableKind
from api.util.masking import has_userinfo
from api.util.suggestions import nearest

_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD")

MAX_VARIABLES = 64
MAX_VALUE_CHARACTERS = 4096

_ALLOWED = f"Allowed are {', '.join(VARIABLES)}."
#: Only the first unknown name lists all allowed ones; repeated for 64 names, the list would have 150 kB.
_ALLOWED_ABOVE = "The first rejected variable lists the allowed ones."


def check_env(env: Mapping[str, str], cache_roots: Sequence[Path] = ()) -> list[Finding]:
    """Return the findings about the variables of a request. Messages never repeat a value.

    Directories in variables must be below one of `cache_roots`.
    """
    if len(env) > MAX_VARIABLES:
        return [make_finding("/env", "env_too_many", env_count=len(env), max_variables=MAX_VARIABLES)]
    mistakes: list[Finding] = []
    has_unknown = False
    for name, value in env.items():
        variable = VARIABLES.get(name)
        if variable is None:
            mistakes.append(_reject(name, with_list=not has_unknown))
            has_unknown = True
        elif (mistake := _find_problem(variable, value, cache_roots)) is not None:
            mistakes.append(mistake)
    return mistakes


def split_secrets(env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the public and the secret variables. The table, the name, or a password in the value make one secret."""
    secret = {name: value for name, value in env.items() if _is_secret(name) or has_userinfo(str(value))}
    return {name: value for name, value in env.items() if name not in secret}, secret


def _is_secret(name: str) -> bool:
    known = VARIABLES.get(name)
    return bool(_SECRET.search(name.upper())) if known is None else known.kind is VariableKind.SECRET


def _reject(name: str, with_list: bool) -> Finding:
    remedy = _ALLOWED if with_list else _ALLOWED_ABOVE
    if ENDPOINTS.fullmatch(name):
        remedy = f"Only the operator can set addresses and proxies, in the service's environment. {remedy}"
    elif close := nearest(name, VARIABLES, likeness=0.85):
        remedy = f"Did you mean {close}? {remedy}"
    return make_finding(pointer("env", name), "env_not_allowed", remedy=remedy, name=shown(name))


def _find_problem(variable: Variable, value: str, cache_roots: Sequence[Path]) -> Finding | None:
    at = pointer("env", variable.name)
    if not isinstance(value, str):
        return make_finding(at, "env_not_string")
    if len(value) > MAX_VALUE_CHARACTERS:
        return make_finding(at, "env_too_long", max_value_characters=MAX_VALUE_CHARACTERS)
    if not value.isprintable():
        return make_finding(at, "env_not_one_line")
    if not FORMS[variable.kind].fullmatch(value):
        return make_finding(
            at, "env_of_other_kind", kind=variable.kind, variable=variable.name, meaning=variable.meaning
        )
    if variable.kind is VariableKind.PATH and not _lies_below(value, cache_roots):
        below = ", ".join(map(str, cache_roots)) or "no directory"
        remedy = "Choose a directory there, or have the operator add one to TRAINER_CACHE_ROOTS."
        return make_finding(at, "env_directory_elsewhere", remedy=remedy, below=below)
    return None


def _lies_below(path: str, roots: Sequence[Path]) -> bool:
    # Resolve links on both sides, because the target decides where the trainer writes.
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(root)) for root in roots)
