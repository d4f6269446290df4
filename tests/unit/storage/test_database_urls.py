"""The URL of a database: every name that is understood, what is refused, and passwords that are never shown."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import DatabaseUnavailable
from api.storage.database import Database, DatabaseError, sqlite_url

SECRET = "hunter2"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_name_of_postgresql_is_understood(scheme: str):
    database = Database(f"{scheme}://user:{SECRET}@host:5433/name?sslmode=require")
    assert (database.is_sqlite, database.url.drivername) == (False, "postgresql+psycopg")
    assert (database.url.host, database.url.port, database.url.database) == ("host", 5433, "name")


@pytest.mark.parametrize("url", ["sqlite:///a/b.sqlite", "sqlite+pysqlite:///a/b.sqlite"])
def test_every_name_of_sqlite_is_understood(url: str):
    database = Database(url)
    assert (database.is_sqlite, database.url.database) == (True, "a/b.sqlite")


@pytest.mark.parametrize("url", ["", "nonsense", "host/name", "postgresql://u@host:port/name", "://"])
def test_what_is_no_url_is_refused_with_an_example(url: str):
    with pytest.raises(DatabaseError, match="it looks like postgresql://user:password@host/name"):
        Database(url)


@pytest.mark.parametrize("url", ["mysql://u@h/x", "oracle://u@h/x", "http://host/x"])
def test_other_databases_are_refused_by_name(url: str):
    with pytest.raises(DatabaseError, match=f"names '{url.partition(':')[0]}': only postgresql://"):
        Database(url)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_database_in_memory_is_refused(url: str):
    with pytest.raises(DatabaseError, match="must name a file"):
        Database(url)


def test_password_is_not_shown():
    database = Database(f"postgresql://user:{SECRET}@127.0.0.1:1/name")
    assert SECRET not in database.shown
    assert re.fullmatch(r"postgresql\+psycopg://user:\*+@127\.0\.0\.1:1/name", database.shown)


def test_password_in_the_query_is_not_shown_either():
    assert SECRET not in Database(f"postgresql://user@127.0.0.1:1/name?password={SECRET}&sslmode=disable").shown


@pytest.mark.parametrize("password", [f"x@{SECRET}", f"{SECRET}@", f"x:{SECRET}@y", f"x/{SECRET}@y"])
def test_a_password_that_cannot_be_told_from_the_host_is_refused_without_it(password: str):
    with pytest.raises(DatabaseError) as refused:
        Database(f"postgresql://user:{password}@127.0.0.1:1/name").migrate()
    assert SECRET not in str(refused.value)


def test_password_is_not_in_errors():
    database = Database(f"postgresql://user:{SECRET}@127.0.0.1:1/name")
    with pytest.raises(DatabaseError) as refused:
        database.migrate()
    assert SECRET not in str(refused.value)
    with pytest.raises(DatabaseUnavailable) as away, database.read():
        pass
    assert SECRET not in away.value.detail


@given(path=st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1))
def test_every_file_name_survives_its_url(path: str):
    file = Path("/data") / path / "database.sqlite"
    assert Database(sqlite_url(file)).url.database == str(file)
