"""Names of sample sets are unique among those of their owner and among the shared ones, not among all."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    """Replace the unique key. SQLite cannot drop one, so the table is written anew."""
    if op.get_bind().dialect.name == "sqlite":
        op.rename_table("sample_sets", "old_sample_sets")
        op.create_table(
            "sample_sets",
            sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
            sa.Column("name", sa.String(100), nullable=False),
            sa.Column("owner", sa.String(64), nullable=False),
            sa.Column("shared", sa.Boolean, nullable=False),
            sa.Column("latest", sa.Integer, nullable=False),
            sa.Column("created_at", sa.Float(53), nullable=False),
            sqlite_autoincrement=True,
        )
        names = "serial, name, owner, shared, latest, created_at"
        op.execute(f"INSERT INTO sample_sets ({names}) SELECT {names} FROM old_sample_sets")  # noqa: S608 - constants
        op.drop_table("old_sample_sets")
    else:
        op.drop_constraint("sample_sets_name_key", "sample_sets", type_="unique")
    op.create_index("ix_sample_sets_name", "sample_sets", ["owner", "name"], unique=True)
    is_shared = sa.text("shared")
    op.create_index(
        "ix_sample_sets_shared",
        "sample_sets",
        ["name"],
        unique=True,
        sqlite_where=is_shared,
        postgresql_where=is_shared,
    )
