"""The form of ids of alerts, rules, silences and channels, looked at before any other part has to cope with them."""

from api.errors import AlertNotFound
from api.util.ids import is_safe_id


def check_id(id_: str, noun: str) -> None:
    """Raises AlertNotFound for a text that cannot be an id."""
    if not is_safe_id(id_):
        raise AlertNotFound(f"No {noun} has this id.")
