"""Creation and validation of identifiers."""

import itertools
import re
import secrets
from contextvars import ContextVar
from datetime import datetime

from api.errors import TaskNotFound

#: The id of the current request, for log lines and error responses; empty outside of a request.
current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")

# No vowels and no similar characters, so that an id can be read aloud and never spells a word.
_ALPHABET = "0123456789bcdfghjkmnpqrstvwxz"

_run = secrets.token_hex(6)
_serial = itertools.count(1)


def is_safe_id(text: str) -> bool:
    """Return whether a text is valid as X-Request-ID or task id: safe in logs, headers, URLs and file names."""
    return _SAFE_ID.fullmatch(text) is not None


def check_task_id(task_id: str) -> None:
    """Raise TaskNotFound if a text cannot be a task's id, before it is used anywhere else."""
    if not is_safe_id(task_id):
        raise TaskNotFound


def new_request_id() -> str:
    """Return a new id, unique by a random prefix of this process, and fast enough for 20,000 requests a second."""
    return f"{_run}-{next(_serial):x}"


def new_task_id(kind: str, now: datetime) -> str:
    """Return an id such as train_20261124_07k2m9xq: kind, UTC date, 8 random characters (29^8, about 5e11)."""
    return f"{kind}_{now:%Y%m%d}_{''.join(secrets.choice(_ALPHABET) for _ in range(8))}"
