import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from api.domain.datasets.dataset import MediaKind
from api.domain.datasets.media import MediaProblem
from api.files.media import probe as module
from api.files.media.probe import MAX_PIXELS, probe
from tests.unit.files.media.samples import cut_by_edit_list, damaged_png, picture, write_clip


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "bmp", "gif", "tiff"])
def test_image_is_identified_by_content(tmp_path: Path, form: str):
    picture().save(tmp_path / "a.mp4", form)
    facts = probe(tmp_path / "a.mp4").facts
    assert (facts.kind, facts.format, facts.width, facts.height) == (MediaKind.IMAGE, form, 96, 64)
    assert (facts.frame_count, facts.problem) == (1, None)


def test_video_has_frames_rate_and_length(tmp_path: Path):
    found = probe(write_clip(tmp_path / "a.mp4", 30, 15))
    facts = found.facts
    assert (facts.kind, facts.format, facts.width, facts.height) == (MediaKind.VIDEO, "mp4", 96, 64)
    assert (facts.frame_count, found.stated_frames, facts.fps) == (30, 30, 15.0)
    assert facts.duration == pytest.approx(2.0)
    assert (facts.is_variable_rate, facts.problem) == (False, None)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "mpeg4"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4")])
def test_frames_are_counted_if_the_header_does_not_state_them(tmp_path: Path, name: str, codec: str):
    facts = probe(write_clip(tmp_path / name, 20, 25, codec=codec)).facts
    assert (facts.frame_count, facts.is_variable_rate, facts.problem) == (20, False, None)


def test_uneven_frame_times_are_a_variable_rate(tmp_path: Path):
    times = [0, 40, 80, 200, 240, 400, 440, 480, 700, 740, 780, 820]
    assert probe(write_clip(tmp_path / "a.mkv", times=times)).facts.is_variable_rate is True


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_incomplete_image_is_truncated(tmp_path: Path, form: str):
    path = tmp_path / "a"
    picture((400, 300)).save(path, form)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    facts = probe(path).facts
    assert (facts.kind, facts.problem, facts.width) == (MediaKind.IMAGE, MediaProblem.TRUNCATED, 400)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_incomplete_video_is_truncated(tmp_path: Path, name: str):
    path = write_clip(tmp_path / name, 100, 25)
    whole = path.read_bytes()
    if name == "a.mp4":
        # The index comes first, as in web files: otherwise an incomplete file has no index at all.
        whole = _faststart(path, tmp_path / "fast.mp4")
    path.write_bytes(whole[: len(whole) * 3 // 5])
    facts = probe(path).facts
    assert (facts.kind, facts.problem) == (MediaKind.VIDEO, MediaProblem.TRUNCATED)
    assert facts.frame_count is not None
    assert facts.frame_count < 100


@pytest.mark.parametrize(("rate", "first"), [(Fraction(1, 10), 0), (Fraction(16), 60_000)])
def test_complete_video_with_long_frames_or_a_late_start_is_not_truncated(tmp_path: Path, rate: Fraction, first: int):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = 1 / rate
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 40, np.uint8), format="rgb24")
            frame.pts = first + number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    facts = probe(path).facts
    assert (facts.frame_count, facts.problem) == (5, None)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_video_with_longer_sound_is_complete(tmp_path: Path, name: str):
    write_clip(tmp_path / name, 16, 16, sound=4)
    facts = probe(tmp_path / name).facts
    assert (facts.frame_count, facts.problem) == (16, None)


def _faststart(path: Path, target: Path) -> bytes:
    with av.open(str(path)) as source, av.open(str(target), "w", options={"movflags": "+faststart"}) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    return target.read_bytes()


def test_image_with_damaged_data_keeps_its_size(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(damaged_png())
    found = probe(tmp_path / "a.png")
    assert (found.facts.kind, found.facts.width, found.facts.problem) == (MediaKind.IMAGE, 512, MediaProblem.UNREADABLE)
    assert found.has_damaged_pixels


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_outside_of_the_edit_list_do_not_count(tmp_path: Path, codec: str):
    found = probe(cut_by_edit_list(write_clip(tmp_path / "a.mp4", 72, 24, codec=codec), 45 / 24))
    assert (found.facts.frame_count, found.stated_frames, found.facts.problem) == (45, 72, None)


def test_frames_are_counted_by_packets_after_the_decoding_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_DECODE_SECONDS", -1.0)
    found = probe(cut_by_edit_list(write_clip(tmp_path / "a.mp4", 72, 24, codec="libx264"), 45 / 24))
    assert (found.facts.frame_count, found.facts.problem) == (45, None)
    assert found.perceptual_hash is not None


def test_undecodable_packets_are_damage(tmp_path: Path):
    path = write_clip(tmp_path / "a.mp4", 40, 20, codec="libx264")
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + (data.index(b"moov") - data.index(b"mdat")) // 2
    end = data.index(b"moov") - 4
    data[middle:end] = b"\xff" * (end - middle)
    path.write_bytes(data)
    assert probe(path).facts.problem == MediaProblem.TRUNCATED


def test_image_rotated_by_metadata_keeps_its_stored_size(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture((80, 40)).save(tmp_path / "a.jpg", exif=exif)
    facts = probe(tmp_path / "a.jpg").facts
    assert (facts.width, facts.height, facts.problem) == (80, 40, MediaProblem.TURNED)


def test_frames_of_animated_webp_are_counted(tmp_path: Path):
    picture().save(tmp_path / "a.webp", save_all=True, append_images=[picture(seed=1), picture(seed=2)])
    assert probe(tmp_path / "a.webp").facts.frame_count == 3


@pytest.mark.parametrize("text", ["#EXTM3U\nhttp://127.0.0.1:1/a.ts\n", "ffconcat version 1.0\nfile a.mp4\n", "", "hi"])
def test_reference_to_other_files_is_not_media(tmp_path: Path, text: str):
    (tmp_path / "a.mp4").write_text(text)
    facts = probe(tmp_path / "a.mp4").facts
    assert (facts.kind, facts.problem) == (MediaKind.OTHER, MediaProblem.UNREADABLE)


def test_postscript_starts_no_external_program(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert probe(tmp_path / "a.png").facts.kind is MediaKind.OTHER


def test_image_with_too_many_pixels_is_not_decoded(tmp_path: Path):
    (tmp_path / "a.pgm").write_bytes(f"P5 {MAX_PIXELS} 2 255\n".encode())
    assert probe(tmp_path / "a.pgm").facts.problem == MediaProblem.BOMB


def test_pipe_and_missing_file_are_unreadable(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nothing"):
        assert probe(tmp_path / name).facts.problem == MediaProblem.UNREADABLE
