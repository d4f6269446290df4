"""The form of keys, cookies and tickets: random, recognisable, and stored only as a hash."""

import hashlib
import re
import secrets
import string

#: Random bytes of each secret: 256 bits, so that a fast hash suffices. Slow hashes are for passwords.
SECRET_BYTES = 32

#: A key as shown once: its id, which identifies it in logs and lists, and the secret.
KEY = re.compile(r"dp_(?P<key_id>[a-z0-9]{12})_[A-Za-z0-9_-]{43}")

#: The id without the secret.
KEY_ID = re.compile(r"[a-z0-9]{12}")
_PREFIX = re.compile(r"dp_(?P<key_id>[a-z0-9]{12})_")

_ID_CHARACTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 12


def new_key(key_id: str | None = None) -> tuple[str, str]:
    """Return the id of a new key, and the key itself. The id can be given."""
    key_id = key_id or "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH))
    return key_id, f"dp_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"


def new_token() -> str:
    """Return a new secret for a cookie or a ticket."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> str:
    """Return the SHA-256 of a key, cookie or ticket in hexadecimal. Only this is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


def key_id_of(key: str) -> str | None:
    """Return the id in a text that has the form of a key; else None."""
    found = KEY.fullmatch(key)
    return None if found is None else found["key_id"]


def claimed_key_id(text: str) -> str | None:
    """Return the id of a key that a text contains, complete or not; None if there is none."""
    found = _PREFIX.search(text)
    return None if found is None else found["key_id"]
