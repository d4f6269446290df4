import json
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from api.catalog.base_models import examination
from api.catalog.base_models.examination import WeightsExaminer
from api.catalog.base_models.service import CatalogService
from api.errors import Invalid, ModelNotFound, PresetNotFound, WeightsNotFound
from api.files.weights.scan import LocalModels
from api.trainers.diffusion_pipe.base_models import CATALOG
from api.trainers.diffusion_pipe.models.registry import PRESETS
from tests.unit.access.locations import paths_of
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in


@pytest.fixture
def catalog(tmp_path: Path) -> CatalogService:
    root = tmp_path / "storage" / "models"
    return CatalogService(LocalModels([root]), CATALOG, PRESETS, {}, root)


@pytest.fixture
def examiner(tmp_path: Path) -> WeightsExaminer:
    return WeightsExaminer(CATALOG, paths_of(tmp_path).find_examined)


def test_every_model_type_is_listed_with_its_presets(catalog: CatalogService):
    found = {model.id: model for model in catalog.list_models()}
    assert len(found) == 24
    assert [preset.memory_gb for preset in found["wan"].presets] == [16, 24, 24, 24, 48, 80]
    assert found["omnigen2"].presets == ()
    turbo = next(variant for variant in found["z_image"].variants if variant.id == "turbo")
    assert turbo.model["type"] == "z_image"
    assert turbo.model["vae"].endswith("split_files/vae/ae.safetensors")


def test_unknown_model_or_preset_is_rejected_with_the_known_ones(catalog: CatalogService):
    with pytest.raises(ModelNotFound):
        catalog.list_presets("nothing")
    with pytest.raises(PresetNotFound) as found:
        catalog.get_preset("flux", "8gb")
    assert found.value.data == {"presets": ["24gb"]}
    assert [preset.name for preset in catalog.list_presets("flux")] == ["24gb"]


def test_file_says_whether_it_belongs_under_a_key(examiner: WeightsExaminer, tmp_path: Path):
    path = str(write_stand_in(tmp_path / "ae.safetensors", STAND_INS["vae-flux"]))
    assert examiner.examine(path).fits is None
    assert examiner.examine(path, "z_image", "vae").fits is True
    found = examiner.examine(path, "flux2", "vae")
    assert (found.fits, found.belongs) == (False, ("the VAE of Flux 2",))
    assert examiner.examine(path, "minimax_h3", "vae").fits is None


def test_unknown_key_is_rejected_with_the_known_ones(examiner: WeightsExaminer, tmp_path: Path):
    path = str(write_stand_in(tmp_path / "ae.safetensors", STAND_INS["vae-flux"]))
    with pytest.raises(Invalid) as found:
        examiner.examine(path, "flux", "vaee")
    assert [(each.pointer, "diffusers_path" in each.message) for each in found.value.mistakes] == [("/key", True)]


def test_directory_with_a_wrong_index_has_a_short_list_of_missing_files(examiner: WeightsExaminer, tmp_path: Path):
    write_stand_in(tmp_path / "wan" / "m-00001-of-00002.safetensors", STAND_INS["wan-t2v-14b"])
    lies = {f"k{number}": f"{number:0200}.safetensors" for number in range(3_000)}
    (tmp_path / "wan" / "m.safetensors.index.json").write_text(json.dumps({"weight_map": lies}))
    found = examiner.examine(str(tmp_path / "wan"))
    assert (found.is_whole, len(found.missing_files)) == (False, 100)


def test_directory_with_too_many_tensors_is_not_read(examiner: WeightsExaminer, tmp_path: Path):
    for number in (1, 2):
        write_stand_in(tmp_path / "many" / f"m-{number:05}-of-00002.safetensors", STAND_INS["wan-t2v-14b"])
    with patch.object(examination, "_MAX_TENSORS", 5), pytest.raises(WeightsNotFound, match="too many tensors"):
        examiner.examine(str(tmp_path / "many"))


def test_undecodable_file_name_is_skipped(examiner: WeightsExaminer, tmp_path: Path):
    (tmp_path / os.fsdecode(b"\xff.safetensors")).write_bytes(b"half")
    with pytest.raises(WeightsNotFound, match=r"no \.safetensors"):
        examiner.examine(str(tmp_path))


@pytest.mark.parametrize("place", ["/proc/self/environ", "/dev/null", "/sys/kernel/notes"])
def test_virtual_files_of_the_kernel_are_not_examined(examiner: WeightsExaminer, place: str):
    with pytest.raises(WeightsNotFound):
        examiner.examine(place)


def test_directory_is_one_model(examiner: WeightsExaminer, tmp_path: Path):
    shapes = list(STAND_INS["wan-t2v-14b"].items())
    for number, part in enumerate((shapes[:1], shapes[1:]), start=1):
        write_stand_in(tmp_path / "wan" / f"m-{number:05}-of-00002.safetensors", dict(part))
    found = examiner.examine(str(tmp_path / "wan"))
    assert (found.component, found.is_whole, found.tensors) == ("wan-t2v-14b", True, 3)
    (tmp_path / "wan" / "m-00002-of-00002.safetensors").unlink()
    found = examiner.examine(str(tmp_path / "wan"))
    assert (found.is_whole, found.missing_files) == (False, ("m-00002-of-00002.safetensors",))
    first = tmp_path / "wan" / "m-00001-of-00002.safetensors"
    os.truncate(first, 100)
    assert "download" in str(examiner.examine(str(tmp_path / "wan")).problem)


@pytest.mark.parametrize("name", ["nothing", "pipe", "empty", "storage/tasks/t/a.safetensors", "link"])
def test_unreadable_file_is_not_found(examiner: WeightsExaminer, tmp_path: Path, name: str):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    write_stand_in(tmp_path / "storage" / "tasks" / "t" / "a.safetensors", STAND_INS["vae-flux"])
    (tmp_path / "link").symlink_to(tmp_path / "storage" / "tasks" / "t" / "a.safetensors")
    with pytest.raises(WeightsNotFound):
        examiner.examine(str(tmp_path / name))


def test_models_below_the_storage_are_readable(examiner: WeightsExaminer, tmp_path: Path):
    path = write_stand_in(tmp_path / "storage" / "models" / "a.safetensors", STAND_INS["vae-flux"])
    assert examiner.examine(str(path)).component == "vae-flux"
