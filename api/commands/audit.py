"""The command `audit-verify`: walks along the audit's chain, beside the service or without it."""

import re
import sys
from collections.abc import Sequence

from api.access.audit import verify_all
from api.access.audit_store import AuditStore
from api.config import Config, ConfigError, program, read_config
from api.db.database import Database, sqlite_url
from api.db.database_url import DatabaseError
from api.domain.audit import ChainVerdict
from api.errors import DatabaseUnavailable

_ANCHOR = re.compile(r"(?P<id>[0-9]{1,18}):(?P<hash>[0-9a-f]{64})")

_USAGE = """\
usage: {program} audit-verify [--anchor ID:HASH] [settings]

Looks whether the audit is what was written: whether a row was changed, cut out, put in or moved. Servers may run.
--anchor names a row by what a line of it said that was collected elsewhere: it must still have that hash.
Settings, such as --storage-root and --database-url: {program} --help lists them."""


def run_audit_command(argv: Sequence[str]) -> int:
    """Walks along the audit's chain and says what it found. Returns the exit code: 0 when it is whole, 1 when it is
    broken, 2 when it cannot be read or an argument is wrong.
    """
    if "-h" in argv or "--help" in argv:
        print(_USAGE.format(program=program()))
        return 0
    try:
        verdict = _verify(list(argv))
    except (ConfigError, DatabaseError) as error:
        print(f"{program()}: {error}", file=sys.stderr)
        return 2
    print(describe(verdict), file=sys.stdout if verdict.ok else sys.stderr)
    return 0 if verdict.ok else 1


def _verify(arguments: list[str]) -> ChainVerdict:
    """Raises ConfigError, and DatabaseError when there is no audit to be read."""
    anchor = None
    if "--anchor" in arguments:
        at = arguments.index("--anchor")
        anchor = _read_anchor(arguments[at + 1 : at + 2])
        del arguments[at : at + 2]
    database = _open(read_config(argv=arguments))
    try:
        return verify_all(AuditStore(database), anchor)
    except DatabaseUnavailable as error:
        raise DatabaseError(f"the audit in {database.shown} cannot be read: {error.detail}") from error
    finally:
        database.close()


def _read_anchor(given: list[str]) -> tuple[int, str]:
    found = _ANCHOR.fullmatch(given[0]) if given else None
    if found is None:
        raise ConfigError("--anchor needs the id and the hash of a line of the audit: ID:HASH")
    return int(found["id"]), found["hash"]


def describe(verdict: ChainVerdict) -> str:
    """What a walk along the chain found, in a sentence."""
    since = "" if verdict.kept_since is None else f" since {verdict.kept_since:%Y-%m-%d %H:%M:%S} UTC"
    if verdict.problem is not None:
        return f"The audit is broken: {verdict.problem}. {verdict.checked} rows{since} before that fit."
    if verdict.anchor_holds is False:
        return "The audit was made anew: the row of the anchor is not there, or has another hash."
    if verdict.last_id is None:
        return "The audit is empty."
    ends = f"It ends with {verdict.last_id}:{verdict.last_hash}"
    return f"The audit is whole: {verdict.checked} rows{since}. {ends}"


def _open(config: Config) -> Database:
    file = config.storage_root.absolute() / "database.sqlite"
    database = Database(config.database_url or sqlite_url(file), pool_size=1)
    if not config.database_url and not file.is_file():
        raise DatabaseError(f"there is no database {file}: name STORAGE_ROOT or DATABASE_URL as the service has them")
    return database
