"""DATABASE_URL: accepted forms, rejected ones, and passwords that are never shown."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.db.database import Database, sqlite_url
from api.db.database_url import DatabaseError, servers_of
from api.errors import DatabaseUnavailable

SECRET = "hunter2"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_scheme_of_postgresql_is_accepted(scheme: str):
    database = Database(f"{scheme}://user:{SECRET}@host:5433/name?sslmode=require")
    assert (database.is_sqlite, database.url.drivername) == (False, "postgresql+psycopg")
    assert (database.url.host, database.url.port, database.url.database) == ("host", 5433, "name")


@pytest.mark.parametrize("url", ["sqlite:///a/b.sqlite", "sqlite+pysqlite:///a/b.sqlite"])
def test_every_form_of_sqlite_is_accepted(url: str):
    database = Database(url)
    assert (database.is_sqlite, database.url.database) == (True, "a/b.sqlite")


@pytest.mark.parametrize("url", ["", "nonsense", "host/name", "postgresql://u@host:port/name", "://"])
def test_invalid_url_is_refused_with_an_example(url: str):
    with pytest.raises(DatabaseError, match="write it as postgresql://user:password@host/name"):
        Database(url)


@pytest.mark.parametrize("url", ["mysql://u@h/x", "oracle://u@h/x", "http://host/x"])
def test_other_databases_are_refused_by_name(url: str):
    with pytest.raises(DatabaseError, match=f"has the scheme '{url.partition(':')[0]}': only postgresql://"):
        Database(url)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_database_in_memory_is_refused(url: str):
    with pytest.raises(DatabaseError, match="must name a file"):
        Database(url)


def test_password_is_not_shown():
    database = Database(f"postgresql://user:{SECRET}@127.0.0.1:1/name")
    assert SECRET not in database.shown
    assert re.fullmatch(r"postgresql\+psycopg://user:\*+@127\.0\.0\.1:1/name", database.shown)


def test_password_in_the_query_is_not_shown():
    assert SECRET not in Database(f"postgresql://user@127.0.0.1:1/name?password={SECRET}&sslmode=disable").shown


@pytest.mark.parametrize("password", [f"x@{SECRET}", f"{SECRET}@", f"x:{SECRET}@y", f"x/{SECRET}@y"])
def test_ambiguous_password_is_refused_without_showing_it(password: str):
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


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://u:p@a:5432,b:5433/name", "a,b", "5432,5433"),
        ("postgresql://u:p@a,b,c/name?sslmode=require", "a,b,c", ",,"),
        ("postgresql://a,b:5433/name", "a,b", ",5433"),
        ("postgresql://u@[::1]:5432,[fe80::1]/name", "::1,fe80::1", "5432,"),
        ("postgresql://u@/name?host=a:5432&host=b:5433", "a,b", "5432,5433"),
        ("postgresql://u@/name?host=/run/a,/run/b", "/run/a,/run/b", None),
        ("postgresql://u@/name?host=a,b&port=5432,5433", "a,b", "5432,5433"),
    ],
)
def test_several_servers_are_accepted(url: str, hosts: str, ports: str | None):
    database = Database(url)
    assert (database.url.database, database.url.host) == ("name", None)
    assert (database.url.query["host"], database.url.query.get("port")) == (hosts, ports)
    assert database.url.query["target_session_attrs"] == "read-write"


@pytest.mark.parametrize("servers", ["a,", ",b", "a:x,b", "a:1:2,b", "[::1,b", "a,,b"])
def test_invalid_list_of_servers_is_refused(servers: str):
    with pytest.raises(DatabaseError, match="write it as postgresql://user:password@host1:5432,host2:5432/name"):
        Database(f"postgresql://user:pass@{servers}/name")


@pytest.mark.parametrize("password", [f"x@{SECRET}", f"{SECRET},y", f"{SECRET},"])
def test_password_with_several_servers_is_not_shown(password: str):
    try:
        shown = Database(f"postgresql://user:{password}@a:1,b:2/name").shown
    except DatabaseError as error:
        shown = str(error)
    assert SECRET not in shown


def test_single_port_applies_to_all_servers():
    assert servers_of({"host": "a,b", "port": "5433"}) == ({"host": "a", "port": "5433"}, {"host": "b", "port": "5433"})
    assert servers_of({"host": "a"}) == servers_of({}) == ()
