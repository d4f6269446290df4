"""What keys, cookies and tickets look like: random, recognisable, and kept only as a hash."""

import hashlib
import re
import secrets
import string

#: Random bytes of each secret: 256 bits, so that a fast hash is enough; slow ones are for what people remember.
SECRET_BYTES = 32

#: A key as it is shown once: its id, by which people and logs name it, and the secret.
KEY = re.compile(r"dp_(?P<key_id>[a-z0-9]{12})_[A-Za-z0-9_-]{43}")

#: The id alone.
KEY_ID = re.compile(r"[a-z0-9]{12}")
_BEGINNING = re.compile(r"dp_(?P<key_id>[a-z0-9]{12})_")

_ID_CHARACTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 12


def new_key(key_id: str | None = None) -> tuple[str, str]:
    """A new key's id, and the key itself; of this id where one is given."""
    key_id = key_id or "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH))
    return key_id, f"dp_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"


def new_token() -> str:
    """A new secret for a cookie or a ticket."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> str:
    """The SHA-256 of a key, cookie or ticket in hexadecimal: all that is kept of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def key_id_of(key: str) -> str | None:
    """The id in something that looks like a key; None when it does not."""
    found = KEY.fullmatch(key)
    return None if found is None else found["key_id"]


def claimed_key_id(text: str) -> str | None:
    """The id of the key that a text holds, or begins; None when it holds none."""
    found = _BEGINNING.search(text)
    return None if found is None else found["key_id"]
