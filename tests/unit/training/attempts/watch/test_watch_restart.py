"""A watch after a restart of the service, and its note."""

import json
from collections import Counter
from typing import Any

import pytest

from api.training.attempts.watch import watch as attempt_watch
from api.training.attempts.watch.watch import SAVE_SECONDS, AttemptWatch
from tests.unit.builders import NOW
from tests.unit.training.attempts.watched import Watched, step


def test_restarted_service_continues_where_it_was(watched: Watched):
    watched.run_dir("20260101_00-00-00", 1)
    watch = watched.watch()
    watched.prints(step(1, 0.5) + step(2, 0.25)[:10])
    watch.poll()
    watch.find_new_checkpoints()
    watch.peak_memory_mb = 123
    watch.save()
    watched.prints(step(2, 0.25)[10:])
    again = watched.watch()
    assert (again.progress.step, again.run_dir, again.peak_memory_mb) == (1, watch.run_dir, 123)
    assert again.find_new_checkpoints() == []
    again.poll()
    assert (again.progress.step, again.progress.best_loss) == (2, 0.25)
    assert watched.losses() == {1: 0.5, 2: 0.25}


def test_partial_notes_of_a_killed_service_are_removed(watched: Watched):
    watch = watched.watch()
    watch.save()
    half, other = (watched.directory / f".{name}.0123456789abcdef.new" for name in ("watch.json", "stop.json"))
    for path in (half, other):
        path.write_text("{")
    watched.watch()
    assert (half.exists(), other.exists(), (watched.directory / "watch.json").exists()) == (False, True, True)


def test_service_killed_before_its_note_repeats_nothing(watched: Watched):
    watch = watched.watch()
    watched.prints(step(1))
    watch.poll()
    watched.prints(step(2) + step(3))
    watch.poll()
    again = watched.watch()
    again.poll()
    assert again.progress.step == 3
    assert watched.losses() == {1: 0.5, 2: 0.5, 3: 0.5}


@pytest.mark.parametrize(
    "note", [b"", b"{", b"[]", b"null", b"{}", b'{"reader": 5}', b"\xff", b'{"reader": {}, "offset": 5}']
)
def test_damaged_note_makes_the_log_be_read_again(watched: Watched, note: bytes):
    (watched.directory / "watch.json").write_bytes(note)
    watched.prints(step(1))
    watch = watched.watch()
    watch.poll()
    assert watch.progress.step == 1


def test_note_is_written_periodically(watched: Watched):
    watch = watched.watch()
    path = watched.directory / "watch.json"
    watched.prints(step(1))
    watch.poll()
    watched.clock.advance(SAVE_SECONDS)
    watch.poll()
    first = json.loads(path.read_bytes())["offset"]
    watched.prints(step(2))
    watch.poll()
    assert json.loads(path.read_bytes())["offset"] == first
    watched.clock.advance(SAVE_SECONDS)
    watch.poll()
    assert json.loads(path.read_bytes())["offset"] == len(step(1) + step(2))


def test_watches_that_start_together_write_notes_at_different_times(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    noted: list[tuple[str, float]] = []
    monkeypatch.setattr(
        AttemptWatch, "save", lambda watch: noted.append((watch.attempt.uid, watched.clock.monotonic()))
    )
    watches = [watched.watch(uid=f"{number}.1") for number in range(40)]
    for _ in range(41):
        for watch in watches:
            watch.poll(20.0)
        watched.clock.advance(1)
    assert Counter(uid for uid, _ in noted) == Counter({watch.attempt.uid: 2 for watch in watches})
    assert max(Counter(at for _, at in noted).values()) <= 8


def test_disk_error_does_not_stop_a_watch(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(attempt_watch, "append_points", full)
    monkeypatch.setattr(attempt_watch, "write_private", full)
    watch = watched.watch()
    watched.prints(step(1))
    watch.poll()
    watch.finish()
    assert watch.progress.step == 1


@pytest.mark.parametrize("run_dir", ["/etc", "../..", "/outside/20260101_00-00-00"])
def test_note_cannot_point_outside_the_output_directory(watched: Watched, run_dir: str):
    watched.run_dir()
    watch = watched.watch()
    watch.poll()
    watch.save()
    path = watched.directory / "watch.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "run_dir": run_dir}))
    found = watched.watch().run_dir
    assert found is None or found.parent == watched.output


@pytest.mark.parametrize(
    "change",
    [{"offset": "5"}, {"offset": -1}, {"positions": []}, {"positions": {"a": "b"}}, {"last_lines": 3}, {"rest": None}],
)
def test_invalid_note_is_ignored(watched: Watched, change: dict[str, object]):
    watched.prints(step(1))
    watch = watched.watch()
    watch.poll()
    watch.save()
    path = watched.directory / "watch.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    again = watched.watch()
    assert again.progress.step is None
    again.poll()
    assert again.progress.step == 1


def test_note_with_many_long_lines_can_be_read(watched: Watched):
    watch = watched.watch()
    for number in range(60):
        watched.prints("x" * 60_000 + f"{number}\n")
    watch.finish()
    assert (watched.directory / "watch.json").stat().st_size <= 2**20
    assert watched.watch().last_lines[-1].endswith("59")


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_clock_change_between_watches_changes_no_duration(watched: Watched, jump: float):
    watch = watched.watch(started_at=NOW)
    before, began_at = watch.seconds, watch.began_at
    watched.prints(step(1))
    watch.poll()
    said_at = watch.progress.last_line_at
    watch.save()
    watched.clock.jump(jump)
    watched.clock.advance(13)
    again = watched.watch(started_at=NOW)
    assert again.seconds == before + 13
    assert again.began_at == pytest.approx(began_at + jump)
    assert said_at is not None
    assert again.progress.last_line_at == pytest.approx(said_at + jump)
    again.save()
    assert watched.watch(started_at=NOW).began_at == pytest.approx(began_at + jump)
