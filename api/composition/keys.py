"""The keys alone, for the command that makes, lists and revokes them beside a service, or without one."""

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
from api.web.operations import Belonging


@contextmanager
def open_keys(config: Config, *, makes_database: bool) -> Iterator[tuple[AccessService, str]]:
    """The service of keys on the configured database, and how that is called.

    Raises ConfigError, or DatabaseError; without `makes_database` also where there is no database yet.
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
        nobodys = {belonging: lambda thing: None for belonging in Belonging}
        authority = Authority(KeyRing(store, clock), nobodys, needs_keys=config.needs_keys, hides_others=False)
        yield AccessService(store, authority, clock), database.shown
    finally:
        database.close()


def _prepare(root: Path, makes_database: bool) -> None:
    if not makes_database and not (root / "database.sqlite").exists():
        raise ConfigError(f"there is no database in STORAGE_ROOT={root}: name the service's own, or its DATABASE_URL")
    try:
        make_private_directory(root)
    except OSError as error:
        raise ConfigError(f"STORAGE_ROOT={root} cannot be used ({error.strerror})") from None


def _require_own(file: Path) -> None:
    """Refuses another user's file: SQLite would leave files beside it that its service can no longer write."""
    try:
        owner = file.stat().st_uid
    except OSError:
        return
    if owner != os.geteuid():
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = str(owner)
        raise ConfigError(f"{file} belongs to {name}: run this as that user, such as by `sudo -u {name}`")
