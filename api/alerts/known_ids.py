"""Validation of the ids of alerts, rules, silences and channels, before they are used anywhere else."""

from api.errors import AlertNotFound
from api.util.ids import is_safe_id


def check_id(id_: str, noun: str) -> None:
    """Raise AlertNotFound if a text cannot be an id."""
    if not is_safe_id(id_):
        raise AlertNotFound(f"No {noun} has this id.")
