"""The tool that writes migrations."""

from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table

from api.db.columns import Document, Serial
from api.db.tables import REVISION, metadata
from tools import migration
from tools.migration import write_migration


def test_tables_without_a_change_need_no_migration(tmp_path: Path):
    assert write_migration("nothing", tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_new_table_and_column_get_the_next_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    changed = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(changed)
    changed.tables["alert_channels"].append_column(Column("notes_of_it", Document))
    Table("trials", changed, Column("serial", Serial, primary_key=True), Column("who", String(64), nullable=False))
    monkeypatch.setattr(migration, "metadata", changed)
    path = write_migration("notes of channels", tmp_path)
    assert path is not None
    assert path.name == f"v{int(REVISION) + 1:04}_notes_of_channels.py"
    text = path.read_text()
    assert f'down_revision = "{REVISION}"' in text
    assert 'op.add_column("alert_channels", sa.Column("notes_of_it", sa.JSON(), nullable=True))' in text
    assert 'sa.BigInteger().with_variant(sa.Integer, "sqlite")' in text
