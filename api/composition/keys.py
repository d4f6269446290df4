"""Opens only the key service, for the command `key`, whether or not the service runs."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.access.authority import Authority
from api.access.key_ring import KeyRing
from api.access.service import AccessService
from api.access.store import CredentialStore
from api.config import Config, ConfigError
from api.db.database import Database, sqlite_url
from api.db.privacy import make_private_directory
from api.util.clock import SystemClock
from api.web.operations import ResourceKind


@contextmanager
def open_keys(config: Config, *, makes_database: bool) -> Iterator[tuple[AccessService, str]]:
    """Yield the key service on the configured database, and the database's name.

    Raises ConfigError or DatabaseError; without `makes_database` also if there is no database.
    """
    root = config.storage_root.absolute()
    if not config.database_url:
        _prepare(root, makes_database)
    database = Database(config.database_url or sqlite_url(root / "database.sqlite"), pool_size=2)
    try:
        if database.is_sqlite and database.url.database is not None:
            _require_own(Path(database.url.database))
        database.migrate()
        store, clock = CredentialStore(database), SystemClock()
        nobodys = {resource_kind: lambda thing: None for resource_kind in ResourceKind}
        authority = Authority(KeyRing(store, clock), nobodys, needs_keys=config.needs_keys, hides_others=False)
        yield AccessService(store, authority, clock), database.shown
    finally:
        database.close()


def _prepare(root: Path, makes_database: bool) -> None:
    if not makes_database and not (root / "database.sqlite").exists():
        raise ConfigError(f"there is no database in STORAGE_ROOT={root}: set it, or DATABASE_URL, as for the service")
    try:
        make_private_directory(root)
    except OSError as error:
        raise ConfigError(f"STORAGE_ROOT={root} cannot be used ({error.strerror})") from None


def _require_own(file: Path) -> None:
    """Refuse another user's file: SQLite would create files beside it that the service could not write."""
    try:
        owner = file.stat().st_uid
    except OSError:
        return
    if owner != os.geteuid():
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = str(owner)
        raise ConfigError(f"{file} belongs to {name}: run this command as that user, for example by `sudo -u {name}`")
