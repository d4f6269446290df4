import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from api.domain.tasks.progress import Stage
from api.training.attempts.watch import watch as attempt_watch
from api.training.attempts.watch.series import Stretch
from api.training.attempts.watch.watch import LINE_BYTES, WatchNote, encode_note
from api.training.series_views import read_series
from api.util.files.foreign_files import MAX_BYTES
from tests.unit.builders import NOW
from tests.unit.training.attempts.watched import Watched, step
from tests.unit.util.foreign import Plant, each_plant


def test_lines_become_progress_and_points(watched: Watched):
    watch = watched.watch()
    watched.prints(step(1, 0.5) + step(2, 0.25))
    watch.poll()
    assert (watch.progress.step, watch.progress.loss, watch.progress.stage) == (2, 0.25, Stage.TRAINING)
    assert watched.losses() == {1: 0.5, 2: 0.25}
    assert list(watch.last_lines) == [line for line in (step(1, 0.5) + step(2, 0.25)).split("\n") if line]


def test_incomplete_line_waits_for_its_rest(watched: Watched):
    watch = watched.watch()
    watched.prints(step(1)[:20])
    watch.poll()
    assert watch.progress.step is None
    watched.prints(step(1)[20:])
    watch.poll()
    assert watch.progress.step == 1


def test_last_line_counts_without_newline_after_the_end(watched: Watched):
    watch = watched.watch()
    watched.prints("TRAINING COMPLETE!")
    watch.finish()
    assert watch.progress.phrases == {"TRAINING COMPLETE!"}


@pytest.mark.parametrize("content", [b"\xff\xfe\0\x80\n", b"\r\r\r\n", b"\n\n", b"x" * 200_000 + b"\n", b"\x1b[2J\n"])
def test_strange_output_is_tolerated(watched: Watched, content: bytes):
    watch = watched.watch()
    watched.prints(content + step(1).encode())
    watch.poll()
    assert watch.progress.step == 1
    assert all(len(line) <= LINE_BYTES for line in watch.last_lines)


def test_progress_bars_are_separate_lines(watched: Watched):
    watch = watched.watch()
    watched.prints("10%|#\r20%|##\r" + step(1))
    watch.poll()
    assert watch.progress.step == 1


def test_lines_of_earlier_attempts_are_ignored(watched: Watched):
    watched.prints(step(99))
    watch = watched.watch(log_start=len(step(99)))
    watched.prints(step(1))
    watch.poll()
    assert (watch.progress.step, watched.losses()) == (1, {1: 0.5})


def test_nothing_is_read_before_the_start_offset_is_known(watched: Watched):
    watched.prints(step(99))
    watch = watched.watch(log_start=None)
    watch.poll()
    assert watch.progress.step is None


def test_flood_of_output_is_skipped_to_the_latest_lines(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attempt_watch, "LOG_BUDGET", 1000)
    monkeypatch.setattr(attempt_watch, "LOG_BACKLOG", 5000)
    watch = watched.watch()
    watched.prints("".join(step(number) for number in range(1, 1001)))
    for _ in range(30):
        watch.poll()
    assert watch.progress.step == 1000


def test_run_directory_is_found_and_earlier_ones_are_ignored(watched: Watched):
    watched.run_dir("20250101_00-00-00")
    watch = watched.watch(known_run_dirs=("20250101_00-00-00",))
    watch.poll()
    assert watch.run_dir is None
    watched.run_dir("20260101_00-00-00")
    watch.poll()
    assert watch.run_dir == watched.output / "20260101_00-00-00"


def test_event_files_become_points(watched: Watched):
    directory = watched.run_dir()
    writer = EventFileWriter(str(directory))
    summary = Summary(value=[Summary.Value(tag="train/grad_norm", simple_value=2.0)])
    writer.add_event(Event(wall_time=1.0, step=5, summary=summary))
    writer.flush()
    watch = watched.watch()
    watch.poll()
    writer.close()
    assert watch.progress.grad_norm == 2.0
    assert len(read_series([Stretch(watched.directory / "series")], "train/grad_norm")) == 1
    watch.poll()
    watched.watch().finish()
    assert len(read_series([Stretch(watched.directory / "series")], "train/grad_norm")) == 1


def test_completed_checkpoints_are_reported_once(watched: Watched):
    directory = watched.run_dir("20260101_00-00-00", 10)
    watch = watched.watch()
    watch.poll()
    assert [one.name for one in watch.find_new_checkpoints()] == ["global_step10"]
    assert watch.find_new_checkpoints() == []
    (directory / "global_step20").mkdir()
    (directory / "global_step20" / "state").write_text("x")
    assert watch.find_new_checkpoints() == []
    (directory / "latest").write_text("global_step20")
    assert [one.name for one in watch.find_new_checkpoints()] == ["global_step20"]


def test_checkpoints_of_a_resumed_run_are_not_new(watched: Watched):
    directory = watched.run_dir("20260101_00-00-00", 10)
    watch = watched.watch(run_dir=str(directory))
    assert watch.find_new_checkpoints() == []
    assert [one.name for one in watch.checkpoints] == ["global_step10"]


def test_signal_file_is_available_only_while_the_trainer_checks_for_it(watched: Watched):
    watched.run_dir()
    watch = watched.watch()
    watch.poll()
    assert watch.signal_file is None
    watched.prints(step(1))
    watch.poll()
    assert watch.signal_file == watched.output / "20260101_00-00-00" / "save_quit"


def test_new_points_and_progress_are_published(watched: Watched):
    watch = watched.watch()
    watched.prints(step(1, 0.5))
    watch.poll()
    assert watched.news.progress == ["t"]
    assert [(task_id, point.tag, point.step) for task_id, point in watched.news.points] == [("t", "train/loss", 1)]


def test_poll_without_news_publishes_nothing(watched: Watched):
    watch = watched.watch()
    watched.prints(step(1))
    watch.poll()
    published = len(watched.news.progress)
    watch.poll()
    assert len(watched.news.progress) == published


def test_repeated_point_is_published_once(watched: Watched):
    watch = watched.watch()
    watched.prints(step(1) + step(2) + step(2))
    watch.poll()
    watched.prints(step(2) + step(3))
    watch.poll()
    assert [point.step for _, point in watched.news.points] == [1, 2, 3]


def test_last_points_are_published_before_the_end(watched: Watched):
    watch = watched.watch()
    watched.prints(step(1))
    watch.finish()
    assert len(watched.news.points) == 1


def test_attempt_with_unknown_log_start_ends(watched: Watched):
    watch = watched.watch(log_start=None)
    watched.prints(step(1))
    watch.finish()
    assert watch.progress.step is None


def test_growing_event_files_do_not_prevent_the_end(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    watch = watched.watch()
    monkeypatch.setattr(attempt_watch, "FINISH_ROUNDS", 3)
    monkeypatch.setattr(watch, "_read_events", lambda: True)
    watch.finish()


@each_plant
@pytest.mark.parametrize("name", ["watch.json", "series"])
def test_file_names_in_its_directory_do_not_block_a_watch(watched: Watched, plant: Plant, name: str):
    plant(watched.directory / name)
    watch = watched.watch()
    watched.prints(step(1))
    watch.poll()
    watch.save()
    assert json.loads((watched.directory / "watch.json").read_bytes())["offset"] > 0
    assert watched.watch().progress.step == 1
    assert not (watched.directory / "made-by-following").exists()


@each_plant
def test_run_directory_does_not_block_a_watch(watched: Watched, plant: Plant):
    plant(watched.output / "20260101_00-00-00")
    watch = watched.watch()
    watch.poll()
    watch.find_new_checkpoints()
    watch.finish()


@each_plant
def test_event_file_does_not_block_a_watch(watched: Watched, plant: Plant):
    plant(watched.run_dir() / "events.out.tfevents.1.x.0")
    watch = watched.watch()
    watch.poll()
    watch.finish()


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_training_time_is_independent_of_the_wall_clock(watched: Watched, jump: float):
    watch = watched.watch(started_at=NOW)
    before = watch.seconds
    watched.clock.advance(10)
    watched.clock.jump(jump)
    watch.poll()
    assert watch.seconds == before + 10


def test_time_from_the_supervisor_starts_earlier(watched: Watched):
    watch = watched.watch(started_at=NOW)
    watch.set_training_seconds(500.0)
    watched.clock.advance(1)
    watch.set_training_seconds(None)
    assert watch.seconds == 501.0


def test_event_of_a_resumed_run_after_a_clock_change_belongs_to_it(watched: Watched):
    run_dir = watched.run_dir()
    watch = watched.watch(resumed_from="global_step5", created_at=watched.clock.now())
    watched.clock.jump(-86_400.0)
    watch.poll()
    writer = EventFileWriter(str(run_dir))
    event = Event(wall_time=watched.clock.now().timestamp() + 1, step=6)
    event.summary.CopyFrom(Summary(value=[Summary.Value(tag="train/loss", simple_value=0.5)]))
    writer.add_event(event)
    writer.close()
    watch.poll()
    assert list(watched.losses()) == [6]


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
