from pathlib import Path

from api.alerts.starts import StartLog
from api.util.clock import FakeClock


def test_start_after_a_clean_end_is_clean(tmp_path: Path, clock: FakeClock):
    first = StartLog(tmp_path / "starts", "one", lambda _: False, clock)
    first.note_start()
    first.note_end()
    clock.advance(5)
    second = StartLog(tmp_path / "starts", "two", lambda _: False, clock)
    second.note_start()
    assert second.unclean_at is None
    assert [at - clock.now().timestamp() for at in second.starts] == [-5, 0]


def test_start_after_a_crash_is_unclean(tmp_path: Path, clock: FakeClock):
    StartLog(tmp_path / "starts", "one", lambda _: False, clock).note_start()
    clock.advance(60)
    second = StartLog(tmp_path / "starts", "two", lambda _: False, clock)
    second.note_start()
    assert second.unclean_at == clock.now().timestamp()


def test_another_running_server_is_no_crash(tmp_path: Path, clock: FakeClock):
    first = StartLog(tmp_path / "starts", "one", lambda _: True, clock)
    first.note_start()
    second = StartLog(tmp_path / "starts", "two", lambda _: True, clock)
    second.note_start()
    second.note_end()
    assert second.unclean_at is None
    third = StartLog(tmp_path / "starts", "three", lambda identity: identity != "one", clock)
    third.note_start()
    assert third.unclean_at is not None


def test_unreadable_record_is_restarted(tmp_path: Path, clock: FakeClock):
    (tmp_path / "starts").write_text('{"running": 5}')
    log = StartLog(tmp_path / "starts", "one", lambda _: False, clock)
    log.note_start()
    assert (log.unclean_at, len(log.starts)) == (None, 1)


def test_starts_in_the_future_are_dropped(tmp_path: Path, clock: FakeClock):
    clock.jump(25 * 3600)
    for name in ("one", "two"):
        StartLog(tmp_path / "starts", name, lambda _: False, clock).note_start()
    clock.jump(-25 * 3600)
    third = StartLog(tmp_path / "starts", "three", lambda _: True, clock)
    third.note_start()
    assert (third.unclean_at, third.starts) == (None, (clock.now().timestamp(),))
