"""The trainer's dataset.toml of a version."""

import toml

from api.datasets.versions.dataset_toml import write_dataset_toml


def test_trainers_parser_reads_the_intended_values():
    text = write_dataset_toml({"dataset": 'c"lips@2', "mask_path": None}, [512, [640, 480]], [1, 33], 3)
    read = toml.loads(text)
    assert (read["resolutions"], read["frame_buckets"]) == ([[512, 512], [640, 480]], [1, 33])
    assert read["directory"] == [{"dataset": 'c"lips@2', "num_repeats": 3}]
    assert read["enable_ar_bucket"] is True


def test_resolution_has_a_default():
    assert toml.loads(write_dataset_toml({"path": "/x"}))["resolutions"] == [512]
