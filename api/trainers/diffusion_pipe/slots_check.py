"""Whether each file that [model] names is what belongs there, by its content; what is not recognised is not judged."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.models.weights import Component
from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.diffusers_check import check_parts, is_replaced
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_types import MODELS, PathKind
from api.trainers.pointers import shown
from api.weights.adapters import read_adapter
from api.weights.fingerprints.table import what_belongs
from api.weights.header import COMFY_PREFIX, Header, merged
from api.weights.recognition import recognise
from api.weights.shards import missing_shards

#: Widths of Flux 2's first layer that the trainer knows.
FLUX2_WIDTHS = (6144, 3072, 4096)

#: The text encoder that fits each of Flux 2's transformers; another one passes the caching and fails at the first step.
_FLUX2_ENCODERS = {"flux2-dev": "mistral-small-3", "flux2-klein-9b": "qwen-3-8b", "flux2-klein-4b": "qwen-3-4b"}

#: Types that take no ComfyUI export, whose names begin with `model.diffusion_model.`.
_WITHOUT_PREFIX = ("flux", "chroma", "qwen_image", "hunyuan_image", "hunyuan-video", "auraflow", "cosmos")

#: Keys under which several things can stand, or what no fingerprint tells.
_UNJUDGED = ("llm_adapter_path",)


@dataclass(frozen=True, slots=True)
class _Given:
    """A file or directory that the configuration names, and the header of all that is in it."""

    slot: str
    at: str
    path: Path
    header: Header
    component: Component | None


def check_slots(config: TrainerDocument, model_type: str, root: Path | None, findings: Findings) -> None:
    """Checks all paths of [model]."""
    found = list(_find(config, model_type, root, findings))
    for given in found:
        refused = _check_one(given, model_type, findings)
        if not refused and given.slot == f"{model_type}.diffusion_model":
            _check_main(given, model_type, findings)
    if model_type == "flux2":
        _check_flux2(found, findings)
    _check_adapters(config, root, findings)


def _find(config: TrainerDocument, model_type: str, root: Path | None, findings: Findings) -> Iterator[_Given]:
    model = config.table("model")
    for key, kind in MODELS[model_type].kinds.items():
        path = _path(model.get(key), root)
        if path is None or key in _UNJUDGED:
            continue
        slot, at = f"{_type_of_slot(model_type, model)}.{key}", config.at("model", key)
        if kind in (PathKind.PRETRAINED, PathKind.DIRECTORY) and paths.is_directory(path):
            check_parts(path, model, at, findings)
            for part in paths.directories_in(path):
                if is_replaced(part.name, model):
                    continue
                _check_shards(part, at, findings)
                if what_belongs(f"{slot}/{part.name}"):
                    yield from _read(f"{slot}/{part.name}", at, part)
        # Of a directory whose weights are named elsewhere only the rest is opened.
        if kind not in (PathKind.PRETRAINED, PathKind.DIRECTORY) or not model.get("transformer_path"):
            _check_shards(path, at, findings)
            yield from _read(slot, at, path)
    for at, text in _encoders(config):
        path = _path(text, root)
        if path is not None and "text_encoders" in MODELS[model_type].keys:
            yield from _read(f"{model_type}.text_encoders", at, path)


def _type_of_slot(model_type: str, model: dict[str, Any]) -> str:
    """The type by which a slot is called: cosmos_predict2 and anima are one code, and differ by what they are given."""
    if model_type == "cosmos_predict2" and "llm_path" in model and "t5_path" not in model:
        return "anima"
    return "cosmos_predict2" if model_type == "anima" and model.get("llm_adapter_path") else model_type


def _path(text: Any, root: Path | None) -> Path | None:
    return paths.resolve(text, root) if isinstance(text, str) and text else None


def _encoders(config: TrainerDocument) -> Iterator[tuple[str, Any]]:
    encoders = config.table("model").get("text_encoders")
    for index, encoder in enumerate(encoders if isinstance(encoders, list) else []):
        if not isinstance(encoder, dict):
            continue
        at = config.at("model", "text_encoders", index)
        yield f"{at}/path", encoder.get("path")
        several = encoder.get("paths")
        for number, path in enumerate(several[:8] if isinstance(several, list) else []):
            yield f"{at}/paths/{number}", path


def _read(slot: str, at: str, path: Path) -> Iterator[_Given]:
    headers = paths.headers_of(path)
    if headers:
        header = headers[0] if len(headers) == 1 else merged(headers)
        yield _Given(slot, at, path, header, recognise(header))


def _check_shards(directory: Path, at: str, findings: Findings) -> None:
    missing = missing_shards(directory, paths.names_in(directory, "")) if paths.is_directory(directory) else []
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        named = ", ".join(shown(name) for name in missing[:3])
        findings.error(
            at, f"Of the weights in {shown(directory.name)} {named}{more} are missing.", "Download the rest of them."
        )


def _check_one(given: _Given, model_type: str, findings: Findings) -> bool:
    """Whether what stands here was refused."""
    belongs = what_belongs(given.slot)
    remedy = f"Here belongs {', or '.join(each.title for each in belongs)}." if belongs else "Name the right file."
    name = shown(given.path.name)
    adapter = read_adapter(given.header)
    if adapter is not None:
        findings.error(given.at, f"{name} is an adapter ({adapter.kind}), and no model.", remedy)
        return True
    component = given.component
    if component is not None and given.slot not in component.slots:
        findings.error(given.at, f"{name} is {component.title}.", remedy)
        return True
    if component is not None and model_type in _WITHOUT_PREFIX and COMFY_PREFIX in given.header.prefixes:
        findings.error(
            given.at,
            f"{name} is {component.title}, exported by ComfyUI with `{COMFY_PREFIX}` before each name, which the"
            " trainer does not take for this type.",
            "Take the file without that prefix.",
        )
        return True
    return False


def _check_main(given: _Given, model_type: str, findings: Findings) -> None:
    """Whether the weights are of a model that the trainer trains under this type, as it asks after caching."""
    header = given.header
    if model_type == "flux2" and header.width("img_in.weight") not in FLUX2_WIDTHS:
        widths = ", ".join(map(str, FLUX2_WIDTHS))
        found = f"The width of its `img_in.weight` is {header.width('img_in.weight')}, and the trainer knows"
        findings.error(given.at, f"{found} {widths} only.", "Name the weights of Flux 2 dev, Klein 4B or Klein 9B.")
    if model_type == "hunyuan_video_15" and header.has_key_starting("guidance_in."):
        findings.error(
            given.at, "This model is distilled for guidance; the trainer refuses to train it.", "Take the base model."
        )
    if model_type == "ltx2" and not header.has_key_starting("vae."):
        findings.error(
            given.at, "The trainer takes the VAE from this file, and there is none in it.", "Take the whole checkpoint."
        )


def _check_flux2(found: list[_Given], findings: Findings) -> None:
    main = next((each.component for each in found if each.slot == "flux2.diffusion_model"), None)
    wanted = None if main is None else _FLUX2_ENCODERS.get(main.name)
    for given in found:
        encoder = given.component
        is_other = encoder is not None and given.slot in encoder.slots and encoder.name != wanted
        if given.slot != "flux2.text_encoders" or not is_other or main is None or encoder is None or wanted is None:
            continue
        title = next(each.title for each in what_belongs(given.slot) if each.name == wanted)
        findings.error(
            given.at,
            f"{shown(given.path.name)} is {encoder.title}; with {main.title} the trainer fails at its first step.",
            f"Here belongs {title}.",
        )


def _check_adapters(config: TrainerDocument, root: Path | None, findings: Findings) -> None:
    """Whether what is merged, fused or continued is an adapter."""
    merge, adapter = config.table("model").get("merge_adapters"), config.table("adapter")
    named = [
        *(
            (config.at("model", "merge_adapters", n), text)
            for n, text in enumerate(merge if isinstance(merge, list) else ())
        ),
        (config.at("adapter", "init_from_existing"), adapter.get("init_from_existing")),
    ]
    for at, text in named:
        path = _path(text, root)
        headers = [] if path is None else paths.headers_of(path)
        component = recognise(headers[0]) if headers and read_adapter(headers[0]) is None else None
        if component is not None and path is not None:
            findings.error(at, f"{shown(path.name)} is {component.title}.", "Here belongs an adapter (LoRA).")
