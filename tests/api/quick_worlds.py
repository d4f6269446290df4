"""What each server of a test would work out again, kept: its empty database, and how addresses are built."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from werkzeug.routing import Rule

from api.db.database import Database, sqlite_url

_compile = Rule._compile_builder
_builders: dict[tuple[Any, ...], Callable[..., tuple[str, str]]] = {}


def _compile_once(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    """What Werkzeug compiles knows its rule as its first argument only, and so serves each that reads the same."""
    if rule.defaults:
        return _compile(rule, append_unknown)
    known = (tuple(rule._trace), append_unknown)
    if known not in _builders:
        _builders[known] = _compile(rule, append_unknown)
    return _builders[known]


def keep_builders() -> None:
    """From now on no rule of a test's server is compiled twice: that took more than half of its start."""
    Rule._compile_builder = _compile_once  # type: ignore[method-assign]


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "database.sqlite"
        database = Database(sqlite_url(file), Path(directory))
        database.migrate()
        database.close()
        return file.read_bytes()


def provide_database(storage: Path) -> None:
    """Puts a new database there, as a server would make it, unless there is one."""
    file = storage / "database.sqlite"
    if not file.exists():
        storage.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(_empty_database())
