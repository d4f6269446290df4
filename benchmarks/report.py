"""Prints the table with versions and machine."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from api import __version__
from benchmarks.rows import Row, Verdict

PACKAGES = ("uvicorn", "starlette", "flask", "nvidia-ml-py", "sqlalchemy", "psycopg")

#: Columns when the output is no terminal.
FILE_WIDTH = 150

_COLOURS = {Verdict.OK: "green", Verdict.MISSED: "red", Verdict.NOT_RUN: "yellow", Verdict.NO_LIMIT: ""}


def print_report(rows: Sequence[Row], load_before: float) -> None:
    """Print all results."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=FILE_WIDTH)
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    console.print(f"Diffusion-Pipe API {__version__} on Python {platform.python_version()}, {packages}")
    console.print(
        f"{_cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"load average {load_before:.2f} before, {os.getloadavg()[0]:.2f} after"
    )
    table = Table()
    for title in ("what", "figure", "limit", "measured beside it", ""):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(row.what, row.figure, row.limit, row.beside, Text(row.verdict, _COLOURS[row.verdict]))
    console.print(table)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
