"""Whether an attempt has ended, by its directory alone: its trainer can write there as well as its supervisor."""

from __future__ import annotations

from api.util.foreign_files import ForeignFile, read, status_of

from .files import identity_of, number, parse_json
from .processes import boot_id, is_alive


def has_outcome(directory: str) -> bool:
    """Whether anything stands where the outcome belongs."""
    try:
        status_of(f"{directory}/exit.json")
    except OSError:
        return False
    return True


def has_ended(directory: str) -> bool:
    """Whether the outcome that is there may be believed; only to be asked when no supervisor lives. Raises OSError.

    A supervisor writes its outcome when nothing of the tree is left, and with its fence. So one beside a living
    trainer, or with the fence of an earlier supervisor, is the work of somebody else. What cannot be understood is
    damaged, and an end too. A trainer of the same user that ends its supervisor and itself and leaves a whole record
    behind is believed: no file could tell the two apart; it lies about nobody but itself.
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
