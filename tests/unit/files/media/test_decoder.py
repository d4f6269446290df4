import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from api.domain.datasets.dataset import MediaKind
from api.domain.datasets.media import MediaProblem, MediaSource
from api.errors import DecoderBusy
from api.files.media import decoder as module
from api.files.media.decoder import MediaDecoder
from tests.unit.files.media.samples import picture, png_bomb, write_clip

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    decoder = MediaDecoder(children=1)
    yield decoder
    decoder.close()


def child_of(decoder: MediaDecoder) -> psutil.Process:
    """Return its only process; decoders of other tests may have others."""
    [child] = decoder._living
    return psutil.Process(child._process.pid)


def test_facts_survive_the_transfer_between_processes(decoder: MediaDecoder, tmp_path: Path):
    found = decoder.examine(MediaSource(write_clip(tmp_path / "a.mp4", 12, 25)))
    assert (found.facts.kind, found.facts.frame_count, found.stated_frames) == (MediaKind.VIDEO, 12, 12)
    assert found.perceptual_hash is not None


@pytest.mark.slow
def test_bomb_is_a_finding_and_the_next_file_is_read(tmp_path: Path):
    decoder = MediaDecoder(children=1, memory_bytes=512 * 1024**2)
    (tmp_path / "bomb.png").write_bytes(png_bomb())
    assert decoder.probe(tmp_path / "bomb.png").problem == MediaProblem.BOMB
    picture().save(tmp_path / "good.png")
    assert decoder.probe(tmp_path / "good.png").problem is None
    decoder.close()


def test_slow_file_is_ended(decoder: MediaDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PROBE_SECONDS", 1e-6)
    clip = write_clip(tmp_path / "long.mkv", 3000, 25, (16, 16))
    assert decoder.probe(clip).problem == MediaProblem.BOMB
    monkeypatch.undo()
    assert decoder.probe(clip).problem is None


def test_file_with_other_content_is_rejected(decoder: MediaDecoder, tmp_path: Path):
    picture().save(tmp_path / "a.png")
    right = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    assert decoder.examine(MediaSource(tmp_path / "a.png", right)).facts.problem is None
    assert decoder.examine(MediaSource(tmp_path / "a.png", "0" * 64)).facts.problem == MediaProblem.CHANGED
    assert decoder.thumbnail(MediaSource(tmp_path / "a.png", right), 128) is not None
    assert decoder.thumbnail(MediaSource(tmp_path / "a.png", "0" * 64), 128) is None


def test_killed_child_is_replaced(decoder: MediaDecoder, tmp_path: Path):
    picture().save(tmp_path / "a.png")
    decoder.probe(tmp_path / "a.png")
    child = child_of(decoder)
    child.send_signal(signal.SIGKILL)
    # The killer is unknown, so the file is tried once more.
    assert decoder.probe(tmp_path / "a.png").kind is MediaKind.IMAGE


@pytest.mark.parametrize(
    ("code", "problem"), [(signal.SIGKILL, MediaProblem.BOMB), (signal.SIGSEGV, MediaProblem.UNREADABLE)]
)
def test_file_that_ends_two_children_is_damaged(
    decoder: MediaDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, problem: MediaProblem
):
    requests = []

    def die(*request: object) -> None:
        requests.append(request)
        raise module.ChildDied(-code)

    monkeypatch.setattr(module._Child, "request", die)
    assert decoder.probe(tmp_path / "a.png").problem == problem
    assert len(requests) == 2


def test_abandoned_request_says_nothing_about_its_file(tmp_path: Path):
    decoder = MediaDecoder(children=1)
    clip, output = write_clip(tmp_path / "long.mkv", 4000, 25, (16, 16)), []

    def look() -> None:
        try:
            output.append(decoder.probe(clip).problem)
        except DecoderBusy as busy:
            output.append(busy.code)

    thread = threading.Thread(target=look)
    thread.start()
    while not decoder._living:
        time.sleep(0.001)
    decoder.close()
    thread.join()
    assert output in ([None], ["decoder_busy"])
    assert decoder._living == set()


def test_busy_error_if_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("api.files.child_process.subprocess.Popen", fail)
    with pytest.raises(DecoderBusy, match="temporarily unavailable"):
        MediaDecoder().probe(tmp_path / "a.png")


def test_child_can_write_no_file_and_sees_no_environment(decoder: MediaDecoder, tmp_path: Path):
    picture().save(tmp_path / "a.png")
    decoder.probe(tmp_path / "a.png")
    child = child_of(decoder)
    assert child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert set(child.environ()) <= {"PATH", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "LC_ALL"}


def test_busy_error_after_waiting_too_long(tmp_path: Path):
    decoder = MediaDecoder(children=1, patience_seconds=0.01)
    picture().save(tmp_path / "a.png")
    with decoder._free, pytest.raises(DecoderBusy):
        decoder.probe(tmp_path / "a.png")
    decoder.close()


def test_few_picture_requests_wait_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_WAITING", 1)
    decoder = MediaDecoder(children=1)
    picture().save(tmp_path / "a.png")
    with decoder._free, decoder._waiting, pytest.raises(DecoderBusy):
        decoder.thumbnail(MediaSource(tmp_path / "a.png"), 128)
    assert decoder.thumbnail(MediaSource(tmp_path / "a.png"), 128) is not None
    decoder.close()


def test_close_leaves_no_process(tmp_path: Path):
    decoder = MediaDecoder()
    picture().save(tmp_path / "a.png")
    threads = [threading.Thread(target=decoder.probe, args=(tmp_path / "a.png",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pids = [child._process.pid for child in decoder._idle]
    decoder.close()
    assert pids
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_child_of_a_large_service_is_reused(tmp_path: Path):
    # The kernel starts a process with the peak memory of its parent.
    script = f"""
from pathlib import Path
from api.files.media.decoder import MediaDecoder
ballast = b"x" * (650 * 2**20)
decoder = MediaDecoder(children=1)
decoder.probe(Path({os.fspath(tmp_path / "a.png")!r}))
print(len(decoder._idle))
decoder.close()
"""
    picture().save(tmp_path / "a.png")
    output = subprocess.run(
        [sys.executable, "-c", script], check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (output.stdout, output.stderr) == ("1\n", "")


def test_child_ends_with_its_service(tmp_path: Path):
    decoder = MediaDecoder(children=1)
    picture().save(tmp_path / "a.png")
    decoder.probe(tmp_path / "a.png")
    [child] = decoder._idle
    # As the kernel does when the service is killed.
    child._stdin.close()
    until = time.monotonic() + 30
    while child._process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    assert child._process.returncode == 0
    decoder.close()
    assert os.path.exists(tmp_path / "a.png")
