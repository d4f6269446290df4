"""Reads the token for Slurm again when its file changes, and decodes its claims without verifying them."""

import base64
import json
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.util.secret_files import SecretFile, read_secret_file

#: The valid range of Unix times.
_FIRST, _LAST = 0, 253_402_300_799


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its claims, which only Slurm can verify."""

    text: str
    user: str | None = None  #: the Slurm user of the token
    ends_at: float | None = None  #: Unix seconds

    def why_refused(self, now: float) -> str:
        """Return what may be wrong with it and what to do, as a clause after the token's path."""
        if self.ends_at is not None and self.ends_at <= now:
            until = datetime.fromtimestamp(self.ends_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
            return f"was good until {until} UTC: check its renewal (systemctl status slurm-token)"
        return "was rejected: replace it with a new one (scontrol token)"


class TokenFile:
    """The file with the token. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()  # guards the attributes below
        self._known: SecretFile | None = None
        self._token = Token("")

    def read(self) -> Token:
        """Return the current token in the file.

        Raises OSError, ValueError.
        """
        with self._lock:
            found = read_secret_file(self.path, self._known)
            if found is not self._known:
                self._token = parse_token(found.content)
                self._known = found
            return self._token

    @property
    def user(self) -> str | None:
        """The user of the token that was read last."""
        return self._token.user

    def why_refused(self) -> str:
        """Return what may be wrong with the token that was read last, and what to do."""
        return f"the token in {self.path} {self._token.why_refused(time.time())}"


def parse_token(content: bytes) -> Token:
    """Return the token in a file that contains only the token, or the output of `scontrol token`.

    Raises ValueError.
    """
    if not content.strip():
        raise ValueError("it is empty")
    if not content.isascii():
        raise ValueError("it contains no token, but characters other than ASCII")
    text = content.decode("ascii").strip().removeprefix("SLURM_JWT=")
    if not text or not text.isprintable() or " " in text:
        raise ValueError("it must contain one token in one line, as `scontrol token` prints it")
    claims = _claims_in(text)
    user = claims.get("sun")
    return Token(text, user if isinstance(user, str) and user else None, _timestamp(claims.get("exp")))


def _timestamp(given: object) -> float | None:
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
