from pathlib import Path

from api.catalog.base_models.preset_requests import model_table
from api.catalog.base_models.view_builders import view_model, view_weights
from api.domain.models.base_model import FoundDirectory, Medium
from api.domain.models.weights import AdapterFacts, AdapterKind, FileForm, WeightsFacts
from api.trainers.diffusion_pipe.base_models import CATALOG
from tests.unit.catalog.builders import file, local


def test_model_is_ready_when_one_variant_is_complete():
    files = [
        file("/m/z.safetensors", "z-image"),
        file("/m/z_image_bf16.safetensors", "z-image"),
        file("/m/ae.safetensors", "vae-flux"),
        file("/m/q.safetensors", "qwen-3-4b"),
    ]
    found = view_model(CATALOG["z_image"], local(*files), (), None, lambda variant: {"named": variant.name})
    assert (found.id, found.type, found.ready, found.max_blocks_to_swap) == ("z_image", Medium.IMAGE, True, 28)
    assert [variant.ready for variant in found.variants] == [True, False]
    assert (
        view_model(CATALOG["z_image"], local(*files[2:]), (), None, lambda variant: {"named": variant.name}).ready
        is False
    )


def test_directory_with_a_transformer_needs_no_file_of_it():
    whole = FoundDirectory("/m/dev", "diffusers:FluxPipeline", 8)
    flux = view_model(CATALOG["flux"], local(whole), (), None, lambda variant: {})
    assert (flux.ready, [each.key for each in flux.components]) == (True, ["diffusers_path"])
    made = model_table(CATALOG["flux"], CATALOG["flux"].variants[0], local(whole), Path("/models"), None)
    assert made == ({"type": "flux", "diffusers_path": "/m/dev"}, ())


def test_adapter_is_shown_with_its_facts():
    adapter = AdapterFacts(AdapterKind.LORA, 16, "comfyui", "wan", ("ComfyUI",))
    found = view_weights("/m/a.safetensors", WeightsFacts(FileForm.SAFETENSORS, 8, True, adapter=adapter))
    assert (found.kind, found.name, found.places) == ("adapter", "a.safetensors", ())
    assert found.adapter is not None
    assert found.adapter.rank == 16


def test_missing_shards_make_a_model_incomplete():
    found = view_weights("/m", WeightsFacts(FileForm.SAFETENSORS, 8, True), ["b.safetensors"])
    assert (found.is_whole, found.problem) == (False, "lacks b.safetensors")
