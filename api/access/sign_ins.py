"""Sign-ins by OpenID Connect that are under way: what must match when the browser comes back, on whichever server."""

from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import delete, insert

from api.access.store import holds_at
from api.db.database import Database
from api.db.rows import to_seconds
from api.db.tables import sign_ins


@dataclass(frozen=True, slots=True)
class SignIn:
    """What was sent to the provider, and where the browser goes afterwards."""

    state: str
    nonce: str
    verifier: str  #: of PKCE: only who holds it can exchange the code
    redirect_uri: str
    next: str


class SignInStore:
    """Sign-ins under way, by the SHA-256 of the browser's cookie."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, hash_: str, begun: SignIn, now: datetime, expires_at: datetime) -> None:
        """Keeps a sign-in until it expires, and forgets those that have."""
        row = {each.name: getattr(begun, each.name) for each in fields(SignIn)}
        with self._database.write() as connection:
            connection.execute(delete(sign_ins).where(~holds_at(sign_ins.c.expires_at, now)))
            connection.execute(insert(sign_ins).values(hash=hash_, expires_at=to_seconds(expires_at), **row))

    def take(self, hash_: str, now: datetime) -> SignIn | None:
        """Takes a sign-in out, so that it is finished once at most; None when there is none, or it has expired."""
        columns = [sign_ins.c[each.name] for each in fields(SignIn)]
        holds = (sign_ins.c.hash == hash_) & holds_at(sign_ins.c.expires_at, now)
        with self._database.write() as connection:
            row = connection.execute(delete(sign_ins).where(holds).returning(*columns)).one_or_none()
        return None if row is None else SignIn(**row._asdict())
