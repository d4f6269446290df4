from dataclasses import replace

from api.catalog.base_models.matching import is_held, locate
from api.domain.models.base_model import FoundDirectory, ModelVariant, Precision
from api.domain.models.weights import Quantisation
from tests.unit.catalog.builders import file, local, need, source

VAE = need(source("vae/ae.safetensors"), known_as="vae-flux")


def where(need_, *found) -> str | None:
    located = locate(need_, local(*found))
    return None if located is None else located.path


def test_component_is_found_by_content_whatever_its_name():
    assert where(VAE, file("/m/anything.safetensors", "vae-flux")) == "/m/anything.safetensors"
    assert where(VAE, file("/m/ae.safetensors", "vae-sdxl")) is None


def test_file_with_the_published_name_is_preferred():
    found = [file("/a/other.safetensors", "vae-flux"), file("/b/AE.safetensors", "vae-flux")]
    assert where(VAE, *found) == "/b/AE.safetensors"


def test_incomplete_download_is_found_by_its_name():
    located = locate(VAE, local(file("/m/ae.safetensors", None, "is 3 bytes short")))
    assert located is not None
    assert located.problem == "is 3 bytes short"
    assert where(VAE, file("/m/ae.safetensors", None, "x"), file("/n/b.safetensors", "vae-flux")) == "/n/b.safetensors"


def test_name_decides_between_models_of_the_same_fingerprint():
    turbo = need(source("z_image_turbo.safetensors"), known_as="z-image", needs_name=True)
    assert where(turbo, file("/m/z_image.safetensors", "z-image")) is None
    assert where(turbo, file("/m/z_image_turbo.safetensors", "z-image")) == "/m/z_image_turbo.safetensors"
    assert where(turbo, file("/m/z_image_turbo.safetensors", "flux-dev")) is None


def test_component_without_fingerprint_is_known_by_its_name():
    assert where(need(source("a/h3.safetensors")), file("/m/h3.safetensors", None)) == "/m/h3.safetensors"
    assert where(need(), file("/m/h3.safetensors", None)) is None


def test_directory_is_complete_without_files_that_the_trainer_does_not_open():
    flux = need(source("", "transformer/*"), directory="diffusers:FluxPipeline")
    whole = FoundDirectory("/m/dev", "diffusers:FluxPipeline", 8, lacking=("transformer",))
    broken = FoundDirectory("/m/other", "diffusers:FluxPipeline", 8, broken=("vae/a.safetensors",))
    located = locate(flux, local(broken, whole))
    assert located is not None
    assert (located.path, located.problem) == ("/m/dev", None)
    located = locate(flux, local(broken))
    assert located is not None
    assert "vae/a.safetensors" in str(located.problem)


def test_complete_directory_replaces_the_file_of_a_part():
    flux = replace(need(source("", "transformer/*"), directory="diffusers:FluxPipeline"), key="diffusers_path")
    transformer = replace(need(source("flux1-dev.safetensors"), known_as="flux-dev"), inside="transformer")
    variant = ModelVariant("dev", "Dev", (flux, transformer))
    whole = FoundDirectory("/m/dev", "diffusers:FluxPipeline", 8)
    assert is_held(transformer, variant, local(whole))
    assert not is_held(transformer, variant, local(replace(whole, lacking=("transformer",))))
    assert not is_held(transformer, variant, local(replace(whole, broken=("transformer/a.safetensors",))))
    assert not is_held(transformer, variant, local(replace(whole, lacking=("vae",))))
    assert not is_held(replace(transformer, inside=""), variant, local(whole))


def test_directory_of_schnell_is_not_one_of_dev():
    transformers = [
        replace(need(source("a.safetensors")), inside="transformer", is_guided=guided) for guided in (True, False)
    ]
    directories = replace(need(source(""), directory="diffusers:FluxPipeline"), key="diffusers_path")
    dev, schnell = (
        ModelVariant(name, name, (replace(directories, is_guided=each.is_guided), each))
        for name, each in zip(("dev", "schnell"), transformers, strict=True)
    )
    first = FoundDirectory("/m/a", "diffusers:FluxPipeline", 8, is_guided=False)
    assert not is_held(transformers[0], dev, local(first))
    assert is_held(transformers[1], schnell, local(first))
    both = local(first, FoundDirectory("/m/b", "diffusers:FluxPipeline", 8, is_guided=True))
    assert is_held(transformers[0], dev, both)
    assert is_held(transformers[1], schnell, both)


def test_directory_of_the_repository_is_preferred():
    wan = need(source(""), directory="wan:t2v:5120")
    found = [FoundDirectory(f"/m/{name}", "wan:t2v:5120", 8) for name in ("A", "models--owner--Model/snapshots/1", "Z")]
    assert where(wan, *found) == "/m/models--owner--Model/snapshots/1"


def test_file_of_another_precision_is_not_used():
    both = need(source("m_bf16.safetensors"), source("m_fp8.safetensors"), known_as="vae-flux")
    bf16 = file("/m/m_bf16.safetensors", "vae-flux", dtype="BF16")
    fp8 = file("/m/other.safetensors", "vae-flux", dtype="F8_E4M3")
    assert where(both, fp8, bf16) == bf16.path
    assert where(both.of(Precision.FP8), fp8, bf16) == fp8.path
    assert where(both.of(Precision.FP8), bf16) is None
    assert where(both.of(Precision.INT8), fp8, bf16) is None
    assert [each.path for each in both.of(Precision.FP8).sources] == ["m_fp8.safetensors"]


def test_loadable_file_is_preferred():
    plain_only = replace(VAE, loadable=(Quantisation.PLAIN_FP8,))
    scaled = file("/m/ae.safetensors", "vae-flux", quantisation=Quantisation.SCALED_FP8)
    located = locate(plain_only, local(scaled))
    assert located is not None
    assert "is quantised (scaled_fp8)" in str(located.problem)
    assert where(plain_only, scaled, file("/m/other.safetensors", "vae-flux")) == "/m/other.safetensors"
    plain = file("/m/a.safetensors", "vae-flux", quantisation=Quantisation.PLAIN_FP8)
    assert where(plain_only, scaled, plain) == "/m/a.safetensors"
