"""The command `key`: makes, lists and revokes keys at the machine itself, while the service runs or not."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from api.access.key_file import write_key_file
from api.access.schemas import WORDS, GenerateKey
from api.access.service import AccessService
from api.access.views import KeyState, KeyView
from api.composition.keys import open_keys
from api.config import ConfigError, program, read_config
from api.db.database_url import DatabaseError
from api.db.privacy import UMASK
from api.domain.access import OPERATOR, Role
from api.domain.audit import RequestNote, noting
from api.errors import Mistake, ServiceError
from api.util.key_format import new_key
from api.util.pagination import MAX_LIMIT, PageRequest
from api.util.validation import mistakes_in


def run_key_command(argv: Sequence[str]) -> int:
    """Does what the arguments after `key` say. Returns the exit code: 0, 1 when refused, 2 for wrong arguments."""
    os.umask(UMASK)
    asked, settings = _parser().parse_known_args(argv)
    try:
        if asked.deed == "file":
            return _write_file(asked.path)
        config = read_config(argv=settings)
        note = RequestNote(datetime.now(UTC), OPERATOR.actor, f"key {asked.deed}", is_change=True)
        with open_keys(config, makes_database=asked.deed == "new") as (access, database), noting(note):
            if asked.deed == "new":
                return _make(access, database, asked)
            if asked.deed == "list":
                return _list(access, asked)
            return _revoke(access, asked)
    except (ConfigError, DatabaseError) as error:
        return _refuse(error, 2)
    except ServiceError as error:
        return _refuse(" ".join([error.detail, *(_words(mistake) for mistake in error.mistakes)]))


def _make(access: AccessService, database: str, asked: argparse.Namespace) -> int:
    given = {
        "user_id": asked.user_id or asked.name,
        "name": asked.name,
        "role": asked.role,
        "permissions": None if asked.permissions is None else asked.permissions.split(","),
        "expires_at": asked.expires_at,
    }
    try:
        wanted = GenerateKey.model_validate(given)
    except ValidationError as error:
        hint = "" if asked.user_id else " (--user-id is the name unless it is given)"
        return _refuse("; ".join(map(_words, mistakes_in(error))) + hint, 2)
    made = access.generate(wanted.request(), OPERATOR)
    until = "" if made.expires_at is None else f" until {made.expires_at:%Y-%m-%d %H:%M} UTC"
    # The key alone goes to standard output, so that it can be piped.
    print(f"{made.key_id}: for {made.user_id}, {made.role or 'with permissions of its own'}{until}", file=sys.stderr)
    print(f"Kept in {database}, as a hash: the key is shown this once.", file=sys.stderr)
    print(made.api_key)
    return 0


def _list(access: AccessService, asked: argparse.Namespace) -> int:
    state = None if asked.state is None else KeyState(asked.state)
    rows: list[tuple[str, ...]] = [("KEY", "USER", "NAME", "ROLE", "STATE", "EXPIRES", "LAST USED")]
    cursor = None
    while True:
        page = access.get_page(asked.user_id, state, PageRequest(limit=MAX_LIMIT, cursor=cursor))
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
    return (key.key_id, key.user_id, key.name, key.role or "its own", key.state, *times)


def _revoke(access: AccessService, asked: argparse.Namespace) -> int:
    key = access.revoke(asked.key_id, OPERATOR, force=asked.force)
    print(f"{key.key_id} of {key.user_id} is revoked.")
    return 0


def _write_file(path: Path) -> int:
    write_key_file(path, new_key()[1])
    print(f"{path} has a new key: start the service with ADMIN_KEY_FILE={path.absolute()}", file=sys.stderr)
    return 0


def _words(mistake: Mistake) -> str:
    return f"{mistake.pointer.lstrip('/') or 'the key'}: {mistake.message}".replace("the key: give", "give")


def _refuse(why: object, code: int = 1) -> int:
    print(f"{program()} key: {why}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program()} key",
        description="Keys, at the machine itself: for the user that the service runs as, while it runs or not.",
        epilog="The settings are the service's: by the environment, .env, or flags at the end, as --storage-root DIR.",
        allow_abbrev=False,
    )
    deeds = parser.add_subparsers(dest="deed", required=True, metavar="new|list|revoke|file")
    new = deeds.add_parser("new", help="make a key, which alone is printed to standard output", allow_abbrev=False)
    new.add_argument("--name", required=True, help="what people call the key")
    new.add_argument("--user-id", help="whom it is for, and whom belongs what it makes; the name unless it is given")
    kind = new.add_mutually_exclusive_group(required=True)
    kind.add_argument("--role", choices=[role.value for role in Role])
    kind.add_argument("--permissions", metavar="WORD,WORD", help=f"instead of a role, of: {', '.join(WORDS)}")
    new.add_argument("--expires-at", metavar="TIME", help="such as 2030-01-01T00:00:00Z; never unless it is given")
    listed = deeds.add_parser("list", help="list keys, newest first, without their secrets", allow_abbrev=False)
    listed.add_argument("--user-id", help="only of this user")
    listed.add_argument("--state", choices=[state.value for state in KeyState])
    revoke = deeds.add_parser("revoke", help="end a key, within a second on every server", allow_abbrev=False)
    revoke.add_argument("key_id", metavar="KEY_ID")
    revoke.add_argument("--force", action="store_true", help="also the only key that may do everything")
    file = deeds.add_parser("file", help="write a new key into a file for ADMIN_KEY_FILE", allow_abbrev=False)
    file.add_argument("path", type=Path, help="where; it must not be there yet")
    return parser
