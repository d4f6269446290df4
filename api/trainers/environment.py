"""Which environment variables a request may set for its trainer, and which of them are secrets."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from api.errors import Mistake
from api.trainers.pointers import pointer, shown
from api.trainers.variables import ENDPOINTS, FORMS, VARIABLES, Variable, VariableKind
from api.util.masking import has_userinfo
from api.util.suggestions import nearest

_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD")

MAX_VARIABLES = 64
MAX_VALUE_CHARACTERS = 4096

_ALLOWED = f"Allowed are {', '.join(VARIABLES)}."
#: Only the first unknown name gets the list of all known ones: with each of 64 names it would be 150 kB.
_ALLOWED_ABOVE = "The allowed ones are listed with the first refused variable."


def check_env(env: Mapping[str, str], cache_roots: Sequence[Path] = ()) -> list[Mistake]:
    """What is wrong with the variables of a request; a value is never repeated in a message.

    The directories that variables name must lie below one of the roots.
    """
    if len(env) > MAX_VARIABLES:
        return [
            Mistake("/env", f"These are {len(env)} variables; at most {MAX_VARIABLES} are taken.", "Leave some out.")
        ]
    mistakes: list[Mistake] = []
    refused = False
    for name, value in env.items():
        variable = VARIABLES.get(name)
        if variable is None:
            mistakes.append(_refuse(name, with_list=not refused))
            refused = True
        elif (mistake := _mistake_in(variable, value, cache_roots)) is not None:
            mistakes.append(mistake)
    return mistakes


def split_secrets(env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The public variables and the secret ones: known by the table or else by their names, or by a password within."""
    secret = {name: value for name, value in env.items() if _is_secret(name) or has_userinfo(str(value))}
    return {name: value for name, value in env.items() if name not in secret}, secret


def _is_secret(name: str) -> bool:
    known = VARIABLES.get(name)
    return bool(_SECRET.search(name.upper())) if known is None else known.kind is VariableKind.SECRET


def _refuse(name: str, with_list: bool) -> Mistake:
    remedy = _ALLOWED if with_list else _ALLOWED_ABOVE
    if ENDPOINTS.fullmatch(name):
        remedy = f"Where things are sent is set in the service's own environment only. {remedy}"
    elif close := nearest(name, VARIABLES, likeness=0.85):
        remedy = f"Did you mean {close}? {remedy}"
    return Mistake(pointer("env", name), f"The variable {shown(name)} may not be set.", remedy)


def _mistake_in(variable: Variable, value: str, cache_roots: Sequence[Path]) -> Mistake | None:
    at = pointer("env", variable.name)
    if not isinstance(value, str):
        return Mistake(at, "The value is not a text.", "Write it in quotes.")
    if len(value) > MAX_VALUE_CHARACTERS:
        return Mistake(at, f"The value is longer than {MAX_VALUE_CHARACTERS} characters.", "Shorten it.")
    if not value.isprintable():
        return Mistake(at, "The value holds a control character or a line break.", "Write it on one line.")
    if not FORMS[variable.kind].fullmatch(value):
        return Mistake(at, f"The value is not {variable.kind}.", f"{variable.name} is {variable.meaning}.")
    if variable.kind is VariableKind.PATH and not _lies_below(value, cache_roots):
        below = ", ".join(map(str, cache_roots)) or "no directory"
        remedy = "TRAINER_CACHE_ROOTS in the service's settings adds roots."
        return Mistake(at, f"The directory is not below {below}.", remedy)
    return None


def _lies_below(path: str, roots: Sequence[Path]) -> bool:
    # Links are followed on both sides: what counts is where the trainer would write.
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(root)) for root in roots)
