"""The token by which Slurm is asked: read again when its file changes, and what stands in it without its key."""

import base64
import json
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.util.secret_files import SecretFile, read_secret_file

#: The first and the last second (Unix) of which a year can be told.
_FIRST, _LAST = 0, 253_402_300_799


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and what it says of itself: Slurm alone can tell whether that is true."""

    text: str
    user: str | None = None  #: whose jobs are asked for by it
    ends_at: float | None = None  #: Unix seconds

    def why_refused(self, now: float) -> str:
        """What may be wrong with it, and what to do, for who knows where it stands."""
        if self.ends_at is not None and self.ends_at <= now:
            until = datetime.fromtimestamp(self.ends_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
            return f"was good until {until} UTC: is it renewed (systemctl status slurm-token)?"
        return "is not taken: put a new one there (scontrol token)"


class TokenFile:
    """The file with the token. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()  # of what follows
        self._known: SecretFile | None = None
        self._token = Token("")

    def read(self) -> Token:
        """The token that stands there now. Raises OSError, ValueError."""
        with self._lock:
            found = read_secret_file(self.path, self._known)
            if found is not self._known:
                self._token = parse_token(found.content)
                self._known = found
            return self._token

    @property
    def user(self) -> str | None:
        """Whose the token is that was read last."""
        return self._token.user

    def why_refused(self) -> str:
        """What may be wrong with the token that was read last, and what to do."""
        return f"the token in {self.path} {self._token.why_refused(time.time())}"


def parse_token(content: bytes) -> Token:
    """The token in a file that holds it alone, or as `scontrol token` prints it. Raises ValueError."""
    if not content.strip():
        raise ValueError("it is empty")
    if not content.isascii():
        raise ValueError("it holds no token, but other characters than ASCII's")
    text = content.decode("ascii").strip().removeprefix("SLURM_JWT=")
    if not text or not text.isprintable() or " " in text:
        raise ValueError("it holds no token, or more than a token: one line, as `scontrol token` prints it")
    claims = _claims_in(text)
    user = claims.get("sun")
    return Token(text, user if isinstance(user, str) and user else None, _moment(claims.get("exp")))


def _moment(given: object) -> float | None:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return None
    return float(given) if _FIRST < given <= _LAST else None


def _claims_in(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
