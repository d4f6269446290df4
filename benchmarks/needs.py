"""Programs and servers that benchmarks need. They are checked first; missing ones are reported with their package."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.databases import SERVER, shown, why_no_postgres
from tests.browser import NAMES, find_browser
from tests.standin import compiler


@dataclass(frozen=True, slots=True)
class Need:
    """A required program or server: a check that returns why it cannot be used, and its Debian package."""

    what: str
    why_not: Callable[[], str | None]
    package: str
    rows: str = ""  #: rows that need it; empty: all rows of the benchmark


def _absent(is_there: bool) -> str | None:
    return None if is_there else "not installed"


WRK = Need("wrk", lambda: _absent(shutil.which("wrk") is not None), "wrk")
COMPILER = Need("a C compiler", lambda: _absent(compiler() is not None), "gcc")
GREP = Need("grep", lambda: _absent(shutil.which("grep") is not None), "grep")
BROWSER = Need(f"a browser ({', '.join(NAMES)})", lambda: _absent(find_browser() is not None), "chromium")
POSTGRESQL = Need(f"PostgreSQL at {shown(SERVER)}", why_no_postgres, "postgresql", rows="on PostgreSQL")

#: Requirements by benchmark.
NEEDS: Mapping[str, Sequence[Need]] = {
    "status": (WRK,),
    "sweep": (COMPILER,),
    "scheduling": (POSTGRESQL,),
    "fleet": (POSTGRESQL,),
    "starting": (POSTGRESQL,),
    "lists": (POSTGRESQL,),
    "items": (POSTGRESQL,),
    "claims": (POSTGRESQL,),
    "access": (WRK, POSTGRESQL),
    "logs": (GREP,),
    "dashboard": (BROWSER,),
    "results": (BROWSER,),
}


def lacking(names: Sequence[str]) -> dict[Need, str]:
    """Return the missing requirements of benchmarks with reasons."""
    needs = dict.fromkeys(need for name in names for need in NEEDS.get(name, ()))
    found = {need: need.why_not() for need in needs}
    return {need: why for need, why in found.items() if why is not None}


def describe(need: Need, why: str, names: Sequence[str]) -> str:
    """Return one line with the missing requirement, the rows that are skipped, and the package to install."""
    without = ", ".join(name for name in names if need in NEEDS.get(name, ()))
    rows = f"the rows {need.rows} of {without}" if need.rows else without
    return f"{need.what}: {why}; not measured: {rows}; apt-get install {need.package}"


def missing_for(name: str, absent: Mapping[Need, str]) -> str | None:
    """Return why a benchmark cannot run at all, or None if it can run at least in part."""
    whole = [need for need in NEEDS.get(name, ()) if need in absent and not need.rows]
    return "; ".join(f"{need.what}: {absent[need]}: apt-get install {need.package}" for need in whole) or None
