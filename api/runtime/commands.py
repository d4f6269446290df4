"""What the command does besides serving; each returns an exit code."""

import argparse
import re
import sys
from collections.abc import Sequence

from api.config import Config
from api.errors import DatabaseUnavailable
from api.models.audit import ChainVerdict
from api.services.access.audit import verify_all
from api.storage.audit import AuditStore
from api.storage.database import Database, DatabaseError, sqlite_url

_ANCHOR = re.compile(r"(?P<id>[0-9]{1,18}):(?P<hash>[0-9a-f]{64})")


def verify_audit(argv: Sequence[str]) -> int:
    """Walks along the audit's chain and says what it found: 0 when it is whole, 1 when it is broken.

    Raises ConfigError, and DatabaseError when there is no audit to be read.
    """
    parser = argparse.ArgumentParser(prog="audit-verify", allow_abbrev=False, add_help=False)
    parser.add_argument("--anchor", type=_anchor)
    options, others = parser.parse_known_args(list(argv))
    database = _open(Config.from_env(argv=others))
    try:
        verdict = verify_all(AuditStore(database), options.anchor)
    except DatabaseUnavailable as error:
        raise DatabaseError(f"the audit in {database.shown} cannot be read: {error.detail}") from error
    finally:
        database.close()
    print(describe(verdict), file=sys.stdout if verdict.ok else sys.stderr)
    return 0 if verdict.ok else 1


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


def _anchor(text: str) -> tuple[int, str]:
    found = _ANCHOR.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError("is an id and a hash as a line of the audit has them: ID:HASH")
    return int(found["id"]), found["hash"]


def _open(config: Config) -> Database:
    file = config.storage_root.absolute() / "database.sqlite"
    database = Database(config.database_url or sqlite_url(file), pool_size=1)
    if not config.database_url and not file.is_file():
        raise DatabaseError(f"there is no database {file}: name STORAGE_ROOT or DATABASE_URL as the service has them")
    return database
