"""The facts that the trainer's Python prints about itself, read from its output."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.trainers.diffusion_pipe.installation import program
from api.util.text.masking import mask_secrets

_MAX_CHARACTERS, _MAX_ARCHITECTURES = 300, 100


@dataclass(frozen=True, slots=True)
class InterpreterFacts:
    """What the interpreter offers. Values that it did not print, or of a wrong type, are None."""

    python: str | None
    torch: str | None
    torch_error: str | None
    cuda: str | None
    hip: str | None
    architectures: tuple[str, ...] | None
    nccl: bool | None
    nvcc: str | None
    deepspeed: str | None
    flash_attention: str | None
    flash_attention_error: str | None
    has_flash_attention: bool
    absent: frozenset[str]  #: modules that were not found


def read_facts(output: str) -> InterpreterFacts | None:
    """Return the facts in the program's output, or None if it printed none."""
    for line in reversed(output.splitlines()):
        if line.startswith(program.MARK):
            try:
                facts = json.loads(line.removeprefix(program.MARK))
            except (ValueError, RecursionError):
                return None
            return _from_json(facts) if isinstance(facts, dict) else None
    return None


def _from_json(facts: Mapping[str, Any]) -> InterpreterFacts:
    architectures, nccl = facts.get("architectures"), facts.get("nccl")
    flash = _table(facts, "flash_attention")
    return InterpreterFacts(
        python=_text(facts.get("python")),
        torch=_text(facts.get("torch")),
        torch_error=_text(facts.get("torch_error")),
        cuda=_text(facts.get("cuda")),
        hip=_text(facts.get("hip")),
        architectures=_texts(architectures) if isinstance(architectures, list) else None,
        nccl=nccl if isinstance(nccl, bool) else None,
        nvcc=_text(facts.get("nvcc")),
        deepspeed=_text(_table(facts, "versions").get("deepspeed")),
        flash_attention=_text(flash.get("version")),
        flash_attention_error=_text(flash.get("error")),
        has_flash_attention=bool(flash.get("installed")),
        absent=frozenset(name for name, there in _table(facts, "modules").items() if there is False),
    )


def _table(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = facts.get(name)
    return value if isinstance(value, dict) else {}


def _texts(values: list[object]) -> tuple[str, ...]:
    return tuple(filter(None, map(_text, values[:_MAX_ARCHITECTURES])))


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return "".join(each if each.isprintable() else "?" for each in mask_secrets(value[:_MAX_CHARACTERS]))
