"""Read files of the trainer's checkout and packages: only regular files of limited size. Nothing is executed."""

import ast
import warnings
from pathlib import Path

from api.util.files import open_regular

#: Most bytes of a source file. The parser needs a hundred times as much memory, and blocks other threads.
_MAX_SOURCE_BYTES = 1024 * 1024


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a regular file. Raise OSError, and ValueError for a file of more than `most` bytes."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} has more than {most} bytes")
    return content


def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a source file. Raise OSError, SyntaxError or ValueError."""
    # The parser would print its warnings about the source between the lines of the service's log.
    warnings.filterwarnings("ignore", category=SyntaxWarning, module="<unknown>")
    try:
        return ast.parse(read_bytes(path, _MAX_SOURCE_BYTES))
    except (MemoryError, RecursionError) as error:
        raise ValueError(f"{path} is nested too deeply") from error
