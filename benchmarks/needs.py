"""What rows need of the machine: looked for before anything is measured, and named with the package that has it."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.databases import SERVER, shown, why_no_postgres
from tests.browser import NAMES, find_browser
from tests.standin import compiler


@dataclass(frozen=True, slots=True)
class Need:
    """A program or a server: why it cannot be used, None when it can, and Debian's package of it."""

    what: str
    why_not: Callable[[], str | None]
    package: str
    rows: str = ""  #: those that need it; all of the benchmark's where this is empty


def _absent(is_there: bool) -> str | None:
    return None if is_there else "not installed"


WRK = Need("wrk", lambda: _absent(shutil.which("wrk") is not None), "wrk")
COMPILER = Need("a C compiler", lambda: _absent(compiler() is not None), "gcc")
GREP = Need("grep", lambda: _absent(shutil.which("grep") is not None), "grep")
BROWSER = Need(f"a browser ({', '.join(NAMES)})", lambda: _absent(find_browser() is not None), "chromium")
POSTGRESQL = Need(f"PostgreSQL at {shown(SERVER)}", why_no_postgres, "postgresql", rows="on PostgreSQL")

#: By the name of the benchmark.
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
}


def lacking(names: Sequence[str]) -> dict[Need, str]:
    """What the benchmarks need and is not there, and why."""
    needs = dict.fromkeys(need for name in names for need in NEEDS.get(name, ()))
    found = {need: need.why_not() for need in needs}
    return {need: why for need, why in found.items() if why is not None}


def describe(need: Need, why: str, names: Sequence[str]) -> str:
    """One line: what is lacking, what is not measured for that, and what to install."""
    without = ", ".join(name for name in names if need in NEEDS.get(name, ()))
    rows = f"the rows {need.rows} of {without}" if need.rows else without
    return f"{need.what}: {why}; not measured: {rows}; apt-get install {need.package}"


def missing_for(name: str, absent: Mapping[Need, str]) -> str | None:
    """Why a benchmark cannot run at all; None when it can, if only in part."""
    whole = [need for need in NEEDS.get(name, ()) if need in absent and not need.rows]
    return "; ".join(f"{need.what}: {absent[need]}: apt-get install {need.package}" for need in whole) or None
