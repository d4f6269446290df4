"""Brings tables of an earlier version to this one, by Alembic."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


class UnknownRevision(Exception):
    """The tables are of a revision that this version does not know."""


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Runs what is missing up to this revision, in the transaction of this connection. Raises UnknownRevision."""
    # It tells of each context that it makes; what matters is said by the database.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    scripts = _scripts()
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known_revisions():
        raise UnknownRevision(current)
    scripts.attributes["connection"] = connection
    command.upgrade(scripts, revision)


def known_revisions() -> set[str]:
    """The revisions from which tables can be brought to this one."""
    return {script.revision for script in ScriptDirectory.from_config(_scripts()).walk_revisions()}


def _scripts() -> Config:
    scripts = Config()
    scripts.set_main_option("script_location", str(Path(__file__).parent))
    return scripts
