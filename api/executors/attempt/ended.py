"""Determine whether an attempt has ended from its directory, to which its trainer may also write."""

from __future__ import annotations

from api.util.foreign_files import ForeignFile, read, status_of

from .files import identity_of, number, parse_json
from .processes import boot_id, is_alive


def has_outcome(directory: str) -> bool:
    """Return whether the outcome file exists, valid or not."""
    try:
        status_of(f"{directory}/exit.json")
    except OSError:
        return False
    return True


def has_ended(directory: str) -> bool:
    """Return whether the existing outcome is credible. Call it only when no supervisor lives.

    A supervisor writes the outcome with its own fence, after all processes have ended. An outcome beside a living
    trainer, or with the fence of an earlier supervisor, was therefore written by another program. An outcome that
    cannot be parsed is damaged and counts as an end. A trainer of the same user that kills its supervisor and forges a
    complete record is believed, as no file could expose it; it harms only its own task.

    Raises OSError.
    """
    runner = _object(f"{directory}/runner.json") or {}
    trainer = identity_of(runner.get("trainer"))
    if trainer is not None and runner.get("boot_id") == boot_id() and is_alive(*trainer):
        return False
    outcome = _object(f"{directory}/exit.json")
    if outcome is None:
        return has_outcome(directory)
    fence = number(outcome.get("fence"))
    return fence is None or fence >= max(number(runner.get("fence")) or 0, _fence(directory))


def _object(path: str) -> dict[str, object] | None:
    try:
        return parse_json(read(path))
    except (FileNotFoundError, ForeignFile):
        return None


def _fence(directory: str) -> int:
    try:
        return int(read(f"{directory}/fence", 64))
    except (OSError, ValueError):
        return 0
