"""Make changes durable on disk before they are acknowledged."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Flush the names in this directory to disk. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
