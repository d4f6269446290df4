"""Whether there is room for a training."""

import shutil
from pathlib import Path

MB = 1024 * 1024


def describe_shortage(directory: Path, min_free_mb: int) -> str | None:
    """What is missing on the disk of this directory, in words; None when enough is free, or nothing is known."""
    try:
        free = shutil.disk_usage(directory).free // MB
    except OSError:
        return None
    if free >= min_free_mb:
        return None
    return f"only {free:,} MB are free under {directory}; MIN_FREE_DISK_MB asks for {min_free_mb:,}"
