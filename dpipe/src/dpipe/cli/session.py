"""One run of a command: its options, its output, and the exit codes that errors become."""

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console, OverflowMethod
from rich.table import Table
from rich.text import Text

from dpipe.cli.show import Columns, clean, escape_control, findings, style_of
from dpipe.client import Client
from dpipe.errors import DpipeError, Forbidden, Unauthorized, Unreachable
from dpipe.version import VERSION

#: Exit codes. Wrong usage is 2, by Typer; the last one is that of programs that SIGPIPE ends.
FAILED, UNREACHABLE, NOT_AUTHORISED, INTERRUPTED, BROKEN_PIPE = 1, 3, 4, 130, 141

Url = Annotated[str | None, typer.Option("--url", help="Address of the server [env: DPIPE_URL].", show_default=False)]
Key = Annotated[str | None, typer.Option("--key", help="Key; other users can see it, unlike [env: DPIPE_KEY].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; streams as one line for each message.")]


class Session:
    """The options that all commands share, the client, and the output."""

    def __init__(self, url: str | None, key: str | None, as_json: bool) -> None:
        self.url, self.key, self.as_json = url, key, as_json
        self.out = Console(markup=False, highlight=False, emoji=False)
        self.err = Console(stderr=True, markup=False, highlight=False, emoji=False)

    @functools.cached_property
    def client(self) -> Client:
        return Client(self.url, self.key, agent="cli")

    @property
    def is_live(self) -> bool:
        """Whether parts of the screen can be drawn again."""
        return self.out.is_terminal and not self.out.is_dumb_terminal and not self.as_json

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line for people or a pipe, which is never broken or cut."""
        if self.out.is_terminal:
            self.out.print(Text(clean(text), style), soft_wrap=True)
        else:
            sys.stdout.write(clean(text) + "\n")
            sys.stdout.flush()

    def note(self, text: str, style: str = "dim") -> None:
        if not self.as_json:
            self.err.print(Text(clean(text), style), soft_wrap=True)

    def prints_json(self, value: Any, *, as_line: bool = False) -> bool:
        """Print the value if JSON is requested, and return whether it is: indented for a terminal, else on one line."""
        if self.as_json:
            indent = 2 if self.out.is_terminal and not as_line else None
            sys.stdout.write(escape_control(json.dumps(value, ensure_ascii=False, indent=indent)) + "\n")
            sys.stdout.flush()
        return self.as_json

    def answer(self, value: Any, text: str, *, as_line: bool = False) -> None:
        """Print a result: its JSON, or a sentence."""
        if not self.prints_json(value, as_line=as_line):
            self.line(text)

    def table(self, columns: Columns, rows: Sequence[Any], nothing: str = "", *, wraps: bool = False) -> None:
        """Print a table: fitted to a terminal, or with tabs for a pipe. Without rows, note the text.

        The last column is cut to fit, unless `wraps` breaks all into lines.
        """
        cells = [[clean(form(row)) for form in columns.values()] for row in rows]
        if not rows and nothing:
            self.note(nothing)
        elif not self.out.is_terminal:
            for line in (columns, *cells):
                self.line("\t".join(" ".join(cell.split()) for cell in line))
        else:
            table = Table(*columns, box=None, pad_edge=False, header_style="dim")
            for column in table.columns:
                column.no_wrap, column.overflow = not wraps and column is not table.columns[-1], "fold"
            overflow: OverflowMethod = "fold" if wraps else "ellipsis"
            for line in cells:
                table.add_row(*(Text(cell, style_of(cell), no_wrap=not wraps, overflow=overflow) for cell in line))
            self.out.print(table)

    def report(self, error: DpipeError) -> typer.Exit:
        """Report an error of the client or the server, and return the exception that ends the command."""
        names = ("code", "message", "remedy", "status", "errors", "details", "request_id")
        if not self.prints_json({"error": {name: getattr(error, name) for name in names}}, as_line=True):
            self.note(f"dpipe: {error.message}", "red")
            for text in findings(error.errors):
                self.note(text, "")
            if error.remedy and not any(each.get("remedy") for each in error.errors):
                self.note(f"→ {error.remedy}", "")
        known = {Unreachable: UNREACHABLE, Unauthorized: NOT_AUTHORISED, Forbidden: NOT_AUTHORISED}
        return typer.Exit(known.get(type(error), FAILED))


def command(app: typer.Typer, name: str | None = None, **settings: Any) -> Callable[[Callable[..., None]], None]:
    """Add a command with the options that all commands share; its errors become messages and exit codes."""

    def add(function: Callable[..., None]) -> None:
        @functools.wraps(function)
        def run(url: str | None, key: str | None, as_json: bool, **given: Any) -> None:
            session = Session(url, key, as_json)
            try:
                function(session, **given)
                sys.stdout.flush()
            except DpipeError as error:
                raise session.report(error) from None
            except KeyboardInterrupt:
                session.note("\nInterrupted.")
                raise typer.Exit(INTERRUPTED) from None
            except BrokenPipeError:
                # Python flushes standard output once more when it ends.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(BROKEN_PIPE) from None
            except OSError as error:
                raise session.report(DpipeError(str(error), code="os_error")) from None
            except UnicodeEncodeError:
                raise session.report(DpipeError("An argument is not UTF-8.", code="invalid_argument")) from None
            except (LookupError, TypeError, ValueError) as error:
                what = f"The server's answer has an unexpected form: {error!r}."
                remedy = f"This is dpipe {VERSION}; is the server, which `dpipe status` shows, of another version?"
                raise session.report(DpipeError(what, code="unexpected_answer", remedy=remedy)) from error

        _, *own = inspect.signature(function).parameters.values()
        kind = inspect.Parameter.KEYWORD_ONLY
        shared = (("url", None, Url), ("key", None, Key), ("as_json", False, AsJson))
        parameters = [*own, *(inspect.Parameter(n, kind, default=d, annotation=a) for n, d, a in shared)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        app.command(name, **settings)(run)

    return add
