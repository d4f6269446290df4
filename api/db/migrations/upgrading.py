"""Upgrade the tables of an earlier version, with Alembic."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


class UnknownRevision(Exception):
    """The tables have a revision that this version does not know."""


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the missing migrations up to this revision, in the connection's transaction. Raises UnknownRevision."""
    # Alembic logs each context; the database logs the result.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    scripts = _scripts()
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known_revisions():
        raise UnknownRevision(current)
    scripts.attributes["connection"] = connection
    command.upgrade(scripts, revision)


def known_revisions() -> set[str]:
    """Return the revisions from which tables can be upgraded."""
    return {script.revision for script in ScriptDirectory.from_config(_scripts()).walk_revisions()}


def _scripts() -> Config:
    scripts = Config()
    scripts.set_main_option("script_location", str(Path(__file__).parent))
    return scripts
