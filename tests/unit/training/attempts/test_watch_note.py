from pathlib import Path
from typing import Any

import orjson
import pytest

from api.domain.progress import Stage
from api.training.attempts.watch_note import WatchNote, encode_note
from api.util.foreign_files import MAX_BYTES

OUTPUT = Path("/data/tasks/a/output")
NOTE: dict[str, Any] = {
    "reader": {"step": 3},
    "offset": 17,
    "rest": "caf\xe9",
    "positions": {"events.out": 5, "stopped": -1},
    "run_dir": "/somewhere/else/20260101_00-00-00",
    "last_lines": ["one", 2],
    "checkpoints": ["global_step5"],
    "peak_memory_mb": None,
    "noted_stage": "training",
    "mark": {"boot_id": "b", "seconds": 3},
    "seconds": 9,
}


def test_note_is_read_as_written():
    note = WatchNote(orjson.loads(encode_note(dict(NOTE))), OUTPUT)
    assert (note.reader, note.offset, note.rest) == ({"step": 3}, 17, b"caf\xe9")
    assert note.positions == {"events.out": 5, "stopped": -1}
    assert (note.last_lines, note.checkpoints, note.noted_stage) == (["one", "2"], ["global_step5"], Stage.TRAINING)
    assert (note.seconds, note.noted_at) == (9.0, 0.0)


def test_note_never_points_outside_the_output_directory():
    assert WatchNote(NOTE, OUTPUT).run_dir == OUTPUT / "20260101_00-00-00"
    assert WatchNote({**NOTE, "run_dir": None}, OUTPUT).run_dir is None


def test_note_of_an_older_version_is_read():
    older = {name: value for name, value in NOTE.items() if name not in ("noted_stage", "mark", "seconds")}
    note = WatchNote(older, OUTPUT)
    assert (note.noted_stage, note.mark, note.seconds) == (None, None, 0.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offset", "x"),
        ("offset", -1.5),
        ("offset", True),
        ("offset", 2**63),
        ("positions", [1]),
        ("positions", {"a": -2}),
        ("last_lines", 3),
        ("peak_memory_mb", "x"),
        ("noted_stage", "dreaming"),
        ("seconds", 1e300),
        ("rest", "\u20ac"),
        ("mark", {"boot_id": "b"}),
        ("run_dir", 3),
    ],
)
def test_forged_note_is_rejected(name: str, value: object):
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        WatchNote({**NOTE, name: value}, OUTPUT)


def test_note_keeps_only_the_last_of_many_long_lines():
    lines = [f"{number} " + "x" * 60_000 for number in range(2 * MAX_BYTES // 60_000)]
    content = encode_note({**NOTE, "last_lines": list(lines)})
    stored = orjson.loads(content)["last_lines"]
    assert len(content) <= MAX_BYTES
    assert stored == lines[-len(stored) :]
    assert stored
