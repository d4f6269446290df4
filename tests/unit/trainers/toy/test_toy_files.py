import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from api.trainers.protocol.event_files import EventFileTail
from api.trainers.toy import toy_files


def test_pictures_are_read_small_and_grey_from_minus_one_to_one(tmp_path: Path):
    Image.new("RGB", (40, 30), "white").save(tmp_path / "b.png")
    Image.new("L", (8, 8), 0).save(tmp_path / "a.PNG")
    (tmp_path / "c.txt").write_text("no picture")
    dataset = tmp_path / "dataset.toml"
    dataset.write_text(f'[[directory]]\npath = "{tmp_path}"\n')
    assert toy_files.read_pictures(dataset, 4).tolist() == [[-1.0] * 16, [1.0] * 16]


def test_first_picture_of_a_video_is_read(tmp_path: Path):
    with av.open(str(tmp_path / "clip.mp4"), "w") as video:
        stream = video.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        for shade in (255, 0, 0):
            frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), shade, np.uint8), format="rgb24")
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
    dataset = tmp_path / "dataset.toml"
    dataset.write_text(f'[[directory]]\npath = "{tmp_path}"\n')
    (row,) = toy_files.read_pictures(dataset, 4)
    assert row.min() > 0.9


def test_unreadable_file_is_skipped_and_reported(tmp_path: Path):
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    Image.new("L", (4, 4), 255).save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:-24])
    dataset = tmp_path / "dataset.toml"
    dataset.write_text(f'[[directory]]\npath = "{tmp_path}"\n')
    output: list[str] = []
    assert len(toy_files.read_pictures(dataset, 4, output.append)) == 1
    assert [line.partition(":")[0] for line in output] == ["skipping clip.mp4", "skipping cut.png"]


def test_dataset_without_pictures_fails_with_the_real_trainers_text(tmp_path: Path):
    dataset = tmp_path / "dataset.toml"
    dataset.write_text(f'[[directory]]\npath = "{tmp_path}"\n')
    with pytest.raises(RuntimeError, match="Processed dataset was empty"):
        toy_files.read_pictures(dataset, 4)


def test_latest_checkpoint_is_loaded_as_saved(tmp_path: Path):
    for step in (5, 10):
        toy_files.save_checkpoint(tmp_path, step, {"model": {"w": np.full(3, step, np.float32)}}, {"step": step})
    tensors, state = toy_files.load_checkpoint(tmp_path)
    assert (tensors["model"]["w"].tolist(), state) == ([10.0] * 3, {"step": 10})


def test_saved_model_is_complete_and_leaves_no_temporary_files(tmp_path: Path):
    config = tmp_path / "config.toml"
    config.write_text("epochs = 1\n")
    toy_files.save_model(tmp_path, "epoch1", {"w": np.zeros(2, np.float32)}, config)
    names = sorted(path.name for path in (tmp_path / "epoch1").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors", "config.toml"]
    assert json.loads((tmp_path / "epoch1" / "adapter_config.json").read_text())["target_modules"] == ["w"]
    (tmp_path / "epoch1" / "tmp").mkdir()
    with pytest.raises(FileExistsError):
        toy_files.save_model(tmp_path, "epoch1", {"w": np.zeros(2, np.float32)}, config)


def test_samples_are_one_picture_with_four_by_four_tiles(tmp_path: Path):
    toy_files.save_samples(tmp_path, "epoch1", np.zeros((16, 16), np.float32), 4)
    with Image.open(tmp_path / "samples" / "epoch1.png") as picture:
        assert picture.size == (4 * 4 * toy_files.SAMPLE_ZOOM,) * 2


def test_written_scalars_are_read_back(tmp_path: Path):
    writer = toy_files.EventWriter(tmp_path)
    writer.add_scalars(3, {"train/loss": 0.5})
    (point,) = EventFileTail(tmp_path).read()
    assert (point.tag, point.step, point.value) == ("train/loss", 3, 0.5)
