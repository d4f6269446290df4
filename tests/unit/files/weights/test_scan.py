import json
import os
from pathlib import Path
from unittest.mock import patch

from api.files.weights import scan
from api.files.weights.scan import LocalModels
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in


def names(local: LocalModels) -> dict[str, str | None]:
    return {Path(found.path).name: found.facts.title for found in local.scan().files}


def test_weights_are_found_by_content(tmp_path: Path):
    write_stand_in(tmp_path / "unet" / "deep" / "x.safetensors", STAND_INS["z-image"])
    (tmp_path / "unet" / "notes.txt").write_text("no weights")
    assert names(LocalModels([tmp_path])) == {"x.safetensors": "the transformer of Z-Image"}


def test_unchanged_file_is_not_read_again(tmp_path: Path):
    path = write_stand_in(tmp_path / "a.safetensors", STAND_INS["z-image"])
    local = LocalModels([tmp_path])
    assert len(names(local)) == 1
    with patch.object(scan, "examine", side_effect=AssertionError):
        assert len(names(local)) == 1
    write_stand_in(path, STAND_INS["lumina-2"])
    os.utime(path, ns=(1, 1))
    assert names(local) == {"a.safetensors": "the transformer of Lumina 2"}


def test_hugging_face_cache_is_read_through_its_links(tmp_path: Path):
    blob = write_stand_in(tmp_path / "models--a--b" / "blobs" / "0123.safetensors", STAND_INS["z-image"])
    snapshot = tmp_path / "models--a--b" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "z.safetensors").symlink_to(blob)
    assert names(LocalModels([tmp_path])) == {"z.safetensors": "the transformer of Z-Image"}


def test_circular_and_broken_links_are_skipped(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert LocalModels([tmp_path, tmp_path / "nowhere"]).scan().files == ()


def test_names_that_are_not_text_are_left_out(tmp_path: Path):
    write_stand_in(tmp_path / "a.safetensors", STAND_INS["z-image"])
    write_stand_in(tmp_path / os.fsdecode(b"\xff.safetensors"), STAND_INS["z-image"])
    write_stand_in(tmp_path / os.fsdecode(b"\xfe") / "b.safetensors", STAND_INS["z-image"])
    assert names(LocalModels([tmp_path])).keys() == {"a.safetensors"}


def test_metadata_is_not_cached(tmp_path: Path):
    write_stand_in(tmp_path / "a.safetensors", STAND_INS["z-image"], metadata={"ss_tag_frequency": "x" * 60_000})
    assert [found.facts.metadata for found in LocalModels([tmp_path]).scan().files] == [{}]


def test_limit_is_reported(tmp_path: Path):
    for number in range(5):
        (tmp_path / f"{number}.safetensors").write_bytes(b"")
    with patch.object(scan, "_MOST_ENTRIES", 3):
        found = LocalModels([tmp_path]).scan()
    assert found.is_cut
    assert len(found.files) == 3


def test_model_directories_list_missing_parts(tmp_path: Path):
    index = {
        "_class_name": "FluxPipeline",
        "vae": ["diffusers", "AutoencoderKL"],
        "transformer": ["diffusers", "AModel"],
    }
    write_stand_in(tmp_path / "FLUX.1-dev" / "vae" / "m.safetensors", STAND_INS["vae-flux-diffusers"])
    (tmp_path / "FLUX.1-dev" / "model_index.json").write_text(json.dumps(index))
    (found,) = LocalModels([tmp_path]).scan().directories
    assert (found.kind, found.lacking, found.broken) == ("diffusers:FluxPipeline", ("transformer",), ())
    assert found.is_guided is None
    weights = tmp_path / "FLUX.1-dev" / "vae" / "m.safetensors"
    os.truncate(weights, weights.stat().st_size - 1)
    (found,) = LocalModels([tmp_path]).scan().directories
    assert found.broken == ("vae/m.safetensors",)
    (tmp_path / "FLUX.1-dev" / "transformer").mkdir()
    (tmp_path / "FLUX.1-dev" / "transformer" / "config.json").write_text('{"guidance_embeds": false}')
    assert [found.is_guided for found in LocalModels([tmp_path]).scan().directories] == [False]


def test_wan_with_two_models_is_one_directory(tmp_path: Path):
    half = tmp_path / "Wan2.2-T2V-A14B" / "low_noise_model"
    half.mkdir(parents=True)
    (half / "config.json").write_text(json.dumps({"model_type": "t2v", "dim": 5120}))
    kinds = {Path(found.path).name: found.kind for found in LocalModels([tmp_path]).scan().directories}
    assert kinds["Wan2.2-T2V-A14B"] == "wan:t2v:5120"
