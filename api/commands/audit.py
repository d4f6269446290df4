"""The command `audit-verify`: verifies the audit's hash chain, whether or not the service runs."""

import re
import sys
from collections.abc import Sequence

from api.access.audit import verify_all
from api.access.audit_store import AuditStore
from api.config import Config, ConfigError, program, read_config, refuse
from api.db.database import Database, sqlite_url
from api.db.database_url import DatabaseError
from api.domain.access.audit import ChainVerdict
from api.errors import DatabaseUnavailable

_ANCHOR = re.compile(r"(?P<id>[0-9]{1,18}):(?P<hash>[0-9a-f]{64})")

_USAGE = """\
usage: {program} audit-verify [--anchor ID:HASH] [settings]

Verifies that no row of the audit was changed, removed, inserted or moved. Servers may run.
--anchor is the id and hash of a row, as in a log line that was stored elsewhere; the row must still have that hash.
Settings, such as --storage-root and --database-url: see {program} --help."""


def run_audit_command(argv: Sequence[str]) -> int:
    """Verify the audit's hash chain and print the result.

    Returns the exit code: 0 if it is intact, 1 if it is broken, 2 if it cannot be read or an argument is invalid.
    """
    if "-h" in argv or "--help" in argv:
        print(_USAGE.format(program=program()))
        return 0
    try:
        verdict = _verify(list(argv))
    except (ConfigError, DatabaseError) as error:
        return refuse(error, 2)
    print(describe(verdict), file=sys.stdout if verdict.ok else sys.stderr)
    return 0 if verdict.ok else 1


def _verify(arguments: list[str]) -> ChainVerdict:
    """Return the result. Raises ConfigError, and DatabaseError if the audit cannot be read."""
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
        raise ConfigError("--anchor needs the id and the hash of an audit row: ID:HASH")
    return int(found["id"]), found["hash"]


def describe(verdict: ChainVerdict) -> str:
    """Return the result of a verification as a sentence."""
    since = "" if verdict.kept_since is None else f" since {verdict.kept_since:%Y-%m-%d %H:%M:%S} UTC"
    if verdict.problem is not None:
        return f"The audit is broken: {verdict.problem}. {verdict.checked} rows{since} before that are intact."
    if verdict.anchor_holds is False:
        return "The audit was replaced: the row of the anchor is missing or has another hash."
    if verdict.last_id is None:
        return "The audit is empty."
    ends = f"It ends with {verdict.last_id}:{verdict.last_hash}"
    return f"The audit is intact: {verdict.checked} rows{since}. {ends}"


def _open(config: Config) -> Database:
    file = config.storage_root.absolute() / "database.sqlite"
    database = Database(config.database_url or sqlite_url(file), pool_size=1)
    if not config.database_url and not file.is_file():
        raise DatabaseError(f"there is no database {file}: set STORAGE_ROOT or DATABASE_URL as for the service")
    return database
