from pathlib import Path

import av
import numpy as np
import pytest

from api.files.media.frames import decode_frames
from tests.unit.files.media.samples import write_clip


@pytest.mark.parametrize(("name", "codec", "size"), [("a.mp4", "mpeg4", (64, 48)), ("a.mp4", "mpeg4", (90, 60))])
def test_frames_are_truncated_as_in_the_trainers_reader(tmp_path: Path, name: str, codec: str, size: tuple[int, int]):
    path = write_clip(tmp_path / name, 6, size=size, codec=codec)
    with av.open(str(path)) as container:
        pictures = list(decode_frames(container))
    assert [picture.size for picture in pictures] == [size] * 6
    if size[0] % 32 == 0:
        with av.open(str(path)) as container:
            for frame, picture in zip(container.decode(video=0), pictures, strict=True):
                expected = (frame.to_ndarray(format="gbrpf32le") * np.float32(255)).astype(np.uint8)
                assert np.array_equal(np.asarray(picture), expected)


def test_damaged_packets_are_skipped(tmp_path: Path):
    path = write_clip(tmp_path / "a.avi", 30, codec="mjpeg", size=(64, 64))
    content = bytearray(path.read_bytes())
    locations = [i for i in range(len(content) - 4) if content[i : i + 4] == b"00dc"]
    content[locations[5] + 8 : locations[5] + 400] = bytes(392)
    path.write_bytes(content)
    with av.open(str(path)) as container:
        assert 25 <= len(list(decode_frames(container))) <= 30
