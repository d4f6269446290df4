"""The command `key`: creates, lists and revokes keys on the machine itself, whether or not the service runs."""

import argparse
import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from api.access.authority import Authority
from api.access.first_key import write_key_file
from api.access.key_ring import KeyRing
from api.access.schemas import PERMISSION_NAMES, GenerateKey
from api.access.service import AccessService
from api.access.store import CredentialStore
from api.access.views import KeyState, KeyView
from api.config import Config, ConfigError, program, read_config, refuse
from api.db.database import Database, sqlite_url
from api.db.database_url import DatabaseError
from api.db.privacy import UMASK, make_private_directory
from api.domain.access.audit import RequestNote, noting
from api.domain.access.principal import OPERATOR, Role
from api.errors import Finding, ServiceError
from api.util.clock import SystemClock
from api.util.http.pagination import MAX_LIMIT, PageRequest
from api.util.http.validation import mistakes_in
from api.util.text.key_format import new_key
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


def run_key_command(argv: Sequence[str]) -> int:
    """Run a subcommand of `key`. Returns the exit code: 0, 1 when refused, 2 for invalid arguments."""
    os.umask(UMASK)
    options, settings = _parser().parse_known_args(argv)
    try:
        if options.action == "file":
            write_key_file(options.path, new_key()[1])
            print(
                f"{options.path} contains a new key. Start the service with ADMIN_KEY_FILE={options.path.absolute()}",
                file=sys.stderr,
            )
            return 0
        config = read_config(argv=settings)
        note = RequestNote(datetime.now(UTC), OPERATOR.actor, f"key {options.action}", is_change=True)
        with open_keys(config, makes_database=options.action == "new") as (access, database), noting(note):
            if options.action == "new":
                return _make(access, database, options)
            if options.action == "list":
                return _list(access, options)
            key = access.revoke(options.key_id, OPERATOR, force=options.force)
            print(f"{key.key_id} of {key.user_id} is revoked.")
            return 0
    except (ConfigError, DatabaseError) as error:
        return refuse(error, 2, " key")
    except ServiceError as error:
        return refuse(" ".join([error.detail, *(_describe(mistake) for mistake in error.mistakes)]), command=" key")


def _make(access: AccessService, database: str, options: argparse.Namespace) -> int:
    given = {
        "user_id": options.user_id or options.name,
        "name": options.name,
        "role": options.role,
        "permissions": None if options.permissions is None else options.permissions.split(","),
        "expires_at": options.expires_at,
    }
    try:
        wanted = GenerateKey.model_validate(given)
    except ValidationError as error:
        hint = "" if options.user_id else " (--user-id defaults to the name)"
        return refuse("; ".join(map(_describe, mistakes_in(error))) + hint, 2, " key")
    made = access.generate(wanted.request(), OPERATOR)
    until = "" if made.expires_at is None else f" until {made.expires_at:%Y-%m-%d %H:%M} UTC"
    # Only the key goes to standard output, so that it can be piped.
    print(f"{made.key_id}: for {made.user_id}, {made.role or 'individual permissions'}{until}", file=sys.stderr)
    print(f"Stored in {database} as a hash. The key is shown only once:", file=sys.stderr)
    print(made.api_key)
    return 0


def _list(access: AccessService, options: argparse.Namespace) -> int:
    state = None if options.state is None else KeyState(options.state)
    rows: list[tuple[str, ...]] = [("KEY", "USER", "NAME", "ROLE", "STATE", "EXPIRES", "LAST USED")]
    cursor = None
    while True:
        page = access.get_page(options.user_id, state, PageRequest(limit=MAX_LIMIT, cursor=cursor))
        rows += [_row(key) for key in page.rows]
        cursor = page.pagination.next_cursor
        if cursor is None:
            break
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(key: KeyView) -> tuple[str, ...]:
    times = ("never" if time is None else f"{time:%Y-%m-%d %H:%M}" for time in (key.expires_at, key.last_used_at))
    return (key.key_id, key.user_id, key.name, key.role or "individual", key.state, *times)


def _describe(mistake: Finding) -> str:
    return f"{mistake.pointer.lstrip('/') or 'the key'}: {mistake.message}".replace("the key: give", "give")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program()} key",
        description="Manage keys on the machine itself, as the user of the service, whether or not it runs.",
        epilog="Settings are the service's: environment, .env, or options at the end, such as --storage-root DIR.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="action", required=True, metavar="new|list|revoke|file")
    new = commands.add_parser("new", help="create a key and print it to standard output", allow_abbrev=False)
    new.add_argument("--name", required=True, help="a name for the key")
    new.add_argument("--user-id", help="the user of the key, who owns what is created with it; by default the name")
    kind = new.add_mutually_exclusive_group(required=True)
    kind.add_argument("--role", choices=[role.value for role in Role])
    kind.add_argument(
        "--permissions", metavar="NAME,NAME", help=f"instead of a role, some of: {', '.join(PERMISSION_NAMES)}"
    )
    new.add_argument("--expires-at", metavar="TIME", help="such as 2030-01-01T00:00:00Z; by default never")
    listed = commands.add_parser("list", help="list keys, newest first, without their secrets", allow_abbrev=False)
    listed.add_argument("--user-id", help="only keys of this user")
    listed.add_argument("--state", choices=[state.value for state in KeyState])
    revoke = commands.add_parser("revoke", help="end a key, within a second on every server", allow_abbrev=False)
    revoke.add_argument("key_id", metavar="KEY_ID")
    revoke.add_argument("--force", action="store_true", help="revoke even the only administrator's key")
    file = commands.add_parser("file", help="write a new key into a file for ADMIN_KEY_FILE", allow_abbrev=False)
    file.add_argument("path", type=Path, help="the file to create; it must not exist")
    return parser
