"""What the disk is to keep before anybody is told of it."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Has the disk keep the names in this directory as they are now. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
