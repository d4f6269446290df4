"""The settings of the toy trainer: reading, permitted values, and TOML output."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.domain.finding import make_finding
from api.errors import Finding
from api.trainers.pointers import pointer, shown
from api.trainers.toml_text import text_excess, values_excess
from api.trainers.toy.simulated_failures import ERRORS, SIGNALS
from api.util.bounds import MAX_MISTAKES
from api.util.suggestions import nearest


@dataclass(frozen=True, slots=True)
class Setting:
    """The permitted values of a setting: an integer, number or string with bounds or choices, or a boolean."""

    kind: type
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the permitted values in words."""
        if self.kind is bool:
            return "true or false"
        if self.choices:
            return " or ".join(f'"{choice}"' for choice in self.choices)
        return f"a {'whole ' if self.kind is int else ''}number from {self.low:g} to {self.high:g}"

    def allows(self, value: Any) -> bool:
        """Return whether a value is permitted."""
        if self.kind is bool or isinstance(value, bool):
            return self.kind is bool and isinstance(value, bool)
        if self.kind is str:
            return value in self.choices
        kinds = (int,) if self.kind is int else (int, float)
        return isinstance(value, kinds) and self.low <= value <= self.high


COUNT = Setting(int, 1, 1_000_000)
SECONDS = Setting(float, 0, 3600)
FLAG = Setting(bool)

TOP: Mapping[str, Setting] = {
    "epochs": Setting(int, 1, 100_000),
    "max_steps": COUNT,
    "micro_batch_size_per_gpu": Setting(int, 1, 4096),
    "save_every_n_epochs": COUNT,
    "save_every_n_steps": COUNT,
    "checkpoint_every_n_epochs": COUNT,
    "checkpoint_every_n_minutes": Setting(float, 0.001, 100_000),
    "eval_every_n_epochs": COUNT,
    "eval_every_n_steps": COUNT,
    "eval_before_first_step": FLAG,
}

TABLES: Mapping[str, Mapping[str, Setting]] = {
    "model": {"type": Setting(str, choices=("toy",))},
    "optimizer": {"type": Setting(str, choices=("adam",)), "lr": Setting(float, 1e-9, 1)},
    "toy": {
        "steps_per_epoch": Setting(int, 1, 1_000_000),
        "step_seconds": SECONDS,
        "load_seconds": SECONDS,
        "cache_seconds": SECONDS,
        "end_seconds": SECONDS,
        "checkpoint_every_n_steps": COUNT,
        "log_lines_per_step": Setting(int, 0, 100_000),
        "seed": Setting(int, 0, 2**31 - 1),
        "size": Setting(int, 4, 64),
        "fail_at_step": Setting(int, 0, 100_000_000),
        "fail_with": Setting(str, choices=(*ERRORS, *SIGNALS, "nan", "quit", "exit_zero")),
        "fail_once": FLAG,
        "hang_at_step": COUNT,
        "hang_in": Setting(str, choices=("loading", "caching", "training")),
        "ignore_sigterm": FLAG,
        "spawn_children": Setting(int, 0, 64),
        "nasty_children": FLAG,
        "children_hold_on": FLAG,
        "exports_directly": FLAG,
    },
}

#: Groups of the structured form with top-level settings, with the optional prefix.
GROUPS: Mapping[str, str] = {"save": "save_", "eval": "eval_", "optimization": ""}

#: Settings that the service sets itself.
SET_BY_SERVICE = ("output_dir", "dataset")

STEPS_PER_EPOCH = 40
SIZE = 16
MICRO_BATCH_SIZE = 64


def flatten(config: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return all top-level values, including those of groups, each with its pointer in the request."""
    found: dict[str, tuple[str, Any]] = {}
    for name, value in config.items():
        if name in GROUPS and isinstance(value, Mapping):
            for inner, inner_value in value.items():
                key = inner if inner in TOP else GROUPS[name] + inner
                found[key] = (pointer(name, inner), inner_value)
        else:
            found[name] = (pointer(name), value)
    return found


def check(values: Mapping[str, tuple[str, Any]], root: str) -> list[Finding]:
    """Return all findings about the values; `root` is the pointer to the configuration."""
    mistakes: list[Finding] = []
    for name, (at, value) in values.items():
        advises = len(mistakes) < MAX_MISTAKES
        if name in TABLES:
            mistakes += _check_table(name, value, root + at)
        elif name not in SET_BY_SERVICE:
            mistakes += _check_value(name, value, TOP, root + at, (*TOP, *TABLES, *GROUPS), advises)
    if "epochs" not in values:
        mistakes.append(make_finding(f"{root}/epochs", "toy_epochs_missing", describe=TOP["epochs"].describe()))
    return mistakes


def _check_table(name: str, table: Any, at: str) -> list[Finding]:
    if not isinstance(table, Mapping):
        return [make_finding(at, "toy_not_table", name=name, tables=", ".join(TABLES[name]))]
    known, mistakes = TABLES[name], list[Finding]()
    for key, value in table.items():
        advises = len(mistakes) < MAX_MISTAKES
        mistakes += _check_value(key, value, known, at + pointer(key), tuple(known), advises)
    return mistakes


def _check_value(
    name: str, value: Any, known: Mapping[str, Setting], at: str, names: tuple[str, ...], advises: bool
) -> list[Finding]:
    """Check one value. `advises` enables the search for a similar name, which is slow."""
    setting = known.get(name)
    if setting is None:
        owner = next((table for table, inside in TABLES.items() if known is TOP and name in inside), None)
        close = f"{owner}.{name}" if owner else nearest(name, names) if advises else None
        remedy = f"Did you mean `{close}`?" if close else f"The settings are: {', '.join(names)}."
        return [make_finding(at, "toy_setting_unknown", remedy=remedy, name=shown(name))]
    if not setting.allows(value):
        return [
            make_finding(
                at,
                "toy_value_invalid",
                name=name,
                dumps=shown(json.dumps(value, default=str)),
                describe=setting.describe(),
            )
        ]
    return []


def with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with defaults: save a model and a checkpoint after every epoch."""
    completed = dict(values)
    if not any(name.startswith("save_every_n_") for name in values):
        completed["save_every_n_epochs"] = 1
    steps = values.get("toy", {}).get("checkpoint_every_n_steps")
    if steps is None and not any(name.startswith("checkpoint_every_n_") for name in values):
        completed["checkpoint_every_n_epochs"] = 1
    return completed


def write_toml(values: Mapping[str, Any]) -> str:
    """Return the values as TOML, tables last."""
    lines = [f"{name} = {_write(value)}" for name, value in values.items() if not isinstance(value, Mapping)]
    for name, table in values.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{name}]", *(f"{key} = {_write(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _write(value: Any) -> str:
    # A JSON string is a TOML string, except for the control character that JSON does not escape.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_values(values: Mapping[str, Any], text: str | None) -> Mapping[str, Any]:
    """Return the values of the structured form or of the TOML text. Raise ValueError with a sentence as the message."""
    if text is not None:
        _reject(text_excess(text))
        try:
            values = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"This is not TOML: {shown(error)}.") from None
    _reject(values_excess(values))
    return values


def _reject(excess: str | None) -> None:
    if excess is not None:
        raise ValueError(excess)
