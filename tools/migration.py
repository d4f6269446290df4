"""Write the migration that makes the tables of the code: `make migration SUBJECT="comments of channels"`.

Compares the tables that the present migrations make with those in `api/db/*tables.py`. Read what it wrote: Alembic sees
neither renamed columns nor conditions of indices, and new columns need a default or null, as servers of the previous
version keep inserting rows.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from sqlalchemy.types import JSON, BigInteger

from api.db.database import Database, sqlite_url
from api.db.migrations import versions
from api.db.migrations.upgrading import upgrade
from api.db.tables import REVISION, metadata

_TEXT = '''"""{subject}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{previous}"


def upgrade() -> None:
    """TODO: say what changes, and what it means for existing rows."""
    {operations}
'''


def _render(kind: str, item: Any, context: AutogenContext) -> str | bool:
    """Return the types of `api.db.columns` as SQLAlchemy spells them; False: Alembic's own form."""
    if kind == "type" and isinstance(item, JSON):
        return "sa.JSON()"
    if kind == "type" and isinstance(item, BigInteger) and "sqlite" in item._variant_mapping:  # noqa: SLF001
        return 'sa.BigInteger().with_variant(sa.Integer, "sqlite")'
    return False


def write_migration(subject: str, directory: Path) -> Path | None:
    """Write the migration into the directory and return its path; None if the tables have not changed."""
    with TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "tables.sqlite"))
        with database.write() as connection:
            upgrade(connection)
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            script = produce_migrations(context, metadata)
        database.close()
    operations = script.upgrade_ops
    if operations is None or operations.is_empty():
        return None
    code = render_python_code(operations, render_item=_render)
    number = f"{int(REVISION) + 1:04}"
    path = directory / f"v{number}_{re.sub(r'[^a-z0-9]+', '_', subject.lower()).strip('_')}.py"
    # Alembic marks its part with comments.
    code = "\n".join(line for line in code.splitlines() if not line.lstrip().startswith("# ###"))
    path.write_text(
        _TEXT.format(
            subject=subject[:1].upper() + subject[1:], revision=number, previous=REVISION, operations=code.strip()
        )
    )
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(path)], check=True, cwd=ROOT)
    return path


def main() -> None:
    """Write the migration of a change of the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", help="what changes, in a few words: the file's name and first line")
    found = write_migration(parser.parse_args().subject, Path(versions.__path__[0]))
    print("The tables are those of the migrations: there is nothing to write." if found is None else found)


if __name__ == "__main__":
    main()
