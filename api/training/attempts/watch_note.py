"""The notes of a watch for the next start of the service, stored in a file that a trainer can also write."""

from pathlib import Path
from typing import Any

import orjson

from api.domain.progress import Stage
from api.util.clock import Mark
from api.util.foreign_files import MAX_BYTES


class WatchNote:
    """The validated note of an earlier watch. Raises ValueError, TypeError or LookupError."""

    def __init__(self, given: dict[str, Any], output_dir: Path) -> None:
        self.reader: dict[str, Any] = given["reader"]
        self.offset = _whole(given["offset"])
        self.rest: bytes = given["rest"].encode("latin-1")
        self.positions = {str(name): int(at) for name, at in given["positions"].items() if _whole(at + 1) is not None}
        # Files are written and deleted there, so the directory must be below the output directory.
        self.run_dir = None if given["run_dir"] is None else output_dir / Path(given["run_dir"]).name
        self.last_lines = [str(line) for line in given["last_lines"]]
        self.checkpoints = [str(name) for name in given["checkpoints"]]
        self.peak_memory_mb = _whole(given["peak_memory_mb"])
        # Missing information about sharing counts as shared.
        self.shares_gpus = given.get("shares_gpus") is not False
        self.was_measured_training = given.get("was_measured_training") is True
        noted = given.get("noted_stage")  # missing in notes of older versions
        self.noted_stage = None if noted is None else Stage(noted)
        # Also missing in older notes.
        mark = given.get("mark")
        self.mark = None if mark is None else Mark(str(mark["boot_id"]), float(mark["seconds"]))
        self.seconds, self.noted_at, self.shift = (
            _finite(given.get(name, 0.0)) for name in ("seconds", "noted_at", "shift")
        )


def encode_note(note: dict[str, Any]) -> bytes:
    """Return the note as JSON within the size limit. If there are many long lines, only the last are stored."""
    content = orjson.dumps(note)
    while len(content) > MAX_BYTES and note["last_lines"]:
        note["last_lines"] = note["last_lines"][len(note["last_lines"]) // 2 + 1 :]
        content = orjson.dumps(note)
    return content


def _finite(value: object) -> float:
    if not isinstance(value, (int, float)) or not abs(value) < 2**53:
        raise ValueError("a note has an invalid number")
    return float(value)


def _whole(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("a note has an invalid integer")
    return value
