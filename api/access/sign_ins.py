"""OpenID Connect sign-ins in progress: the values that must match when the browser returns, on any server."""

from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import delete, insert

from api.access.store import holds_at
from api.db.database import Database
from api.db.rows import to_seconds
from api.db.tables import sign_ins


@dataclass(frozen=True, slots=True)
class SignIn:
    """The values sent to the provider, and the address for afterwards."""

    state: str
    nonce: str
    verifier: str  #: the PKCE verifier, required to exchange the code
    redirect_uri: str
    next: str


class SignInStore:
    """Sign-ins in progress, by the SHA-256 of the browser's cookie."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, hash_: str, sign_in: SignIn, now: datetime, expires_at: datetime) -> None:
        """Store a sign-in until it expires, and delete expired ones."""
        row = {each.name: getattr(sign_in, each.name) for each in fields(SignIn)}
        with self._database.write() as connection:
            connection.execute(delete(sign_ins).where(~holds_at(sign_ins.c.expires_at, now)))
            connection.execute(insert(sign_ins).values(hash=hash_, expires_at=to_seconds(expires_at), **row))

    def take(self, hash_: str, now: datetime) -> SignIn | None:
        """Remove a sign-in and return it, so that it completes only once; None if it is missing or expired."""
        columns = [sign_ins.c[each.name] for each in fields(SignIn)]
        holds = (sign_ins.c.hash == hash_) & holds_at(sign_ins.c.expires_at, now)
        with self._database.write() as connection:
            row = connection.execute(delete(sign_ins).where(holds).returning(*columns)).one_or_none()
        return None if row is None else SignIn(**row._asdict())
