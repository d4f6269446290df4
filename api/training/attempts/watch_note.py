"""What a watch notes of an attempt for the watch of a restarted service, in a file that a trainer can write, too."""

from pathlib import Path
from typing import Any

import orjson

from api.domain.progress import Stage
from api.util.clock import Mark
from api.util.foreign_files import MAX_BYTES


class WatchNote:
    """A note of an earlier watch, every part of it checked. Raises ValueError, TypeError, LookupError."""

    def __init__(self, given: dict[str, Any], output_dir: Path) -> None:
        self.reader: dict[str, Any] = given["reader"]
        self.offset = _whole(given["offset"])
        self.rest: bytes = given["rest"].encode("latin-1")
        self.positions = {str(name): int(at) for name, at in given["positions"].items() if _whole(at + 1) is not None}
        # Files are written and removed there: no note leads out.
        self.run_dir = None if given["run_dir"] is None else output_dir / Path(given["run_dir"]).name
        self.last_lines = [str(line) for line in given["last_lines"]]
        self.checkpoints = [str(name) for name in given["checkpoints"]]
        self.peak_memory_mb = _whole(given["peak_memory_mb"])
        # What a note does not say of sharing is not known, and counts as shared.
        self.shares_gpus = given.get("shares_gpus") is not False
        self.was_measured_training = given.get("was_measured_training") is True
        noted = given.get("noted_stage")  # a note of an older version has none
        self.noted_stage = None if noted is None else Stage(noted)
        # Nor has one of a version that knew no steady clock.
        mark = given.get("mark")
        self.mark = None if mark is None else Mark(str(mark["boot_id"]), float(mark["seconds"]))
        self.seconds, self.noted_at, self.shift = (
            _finite(given.get(name, 0.0)) for name in ("seconds", "noted_at", "shift")
        )


def encode_note(note: dict[str, Any]) -> bytes:
    """The note as JSON, short enough to be read again: of many long lines only the last ones are kept."""
    content = orjson.dumps(note)
    while len(content) > MAX_BYTES and note["last_lines"]:
        note["last_lines"] = note["last_lines"][len(note["last_lines"]) // 2 + 1 :]
        content = orjson.dumps(note)
    return content


def _finite(value: object) -> float:
    if not isinstance(value, (int, float)) or not abs(value) < 2**53:
        raise ValueError("a note holds what is no figure")
    return float(value)


def _whole(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("a note holds what is no whole number")
    return value
