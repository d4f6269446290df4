"""Whether each file that [model] names is what belongs there, by its content; what is not recognised is warned of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.domain.weights import Component
from api.files.weights.adapters import read_adapter
from api.files.weights.fingerprints.fingerprint import Fingerprint
from api.files.weights.fingerprints.table import what_belongs
from api.files.weights.fingerprints.text_encoders import LANGUAGE_MODELS, UNKNOWN_LANGUAGE_MODEL
from api.files.weights.header import COMFY_PREFIX, Header, merged
from api.files.weights.recognition import recognise
from api.files.weights.shards import find_outside, missing_shards
from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.diffusers_check import check_index, check_parts, is_replaced, is_unopened
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.encoder_types import check_encoder_types
from api.trainers.diffusion_pipe.file_names import check_file_name
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_types import MODELS, PathKind
from api.trainers.diffusion_pipe.quantised_check import check_quantised
from api.trainers.diffusion_pipe.slot_words import ANY_LANGUAGE_MODEL, what_to_name
from api.trainers.pointers import shown

#: Widths of Flux 2's first layer that the trainer knows.
FLUX2_WIDTHS = (6144, 3072, 4096)

#: The text encoder that fits each of Flux 2's transformers; another one passes the caching and fails at the first step.
_FLUX2_ENCODERS = {"flux2-dev": "mistral-small-3", "flux2-klein-9b": "qwen-3-8b", "flux2-klein-4b": "qwen-3-4b"}

#: By type, what may stand before the names of a transformer's tensors and is taken off, as its own code has it
#: (models/*.py, commit 8f83dbf). Of types that are not here it is ComfyUI's code, or another's, and not known.
_TAKEN_OFF: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("flux", "chroma", "qwen_image", "hunyuan_image", "cosmos", "hidream", "sd3", "omnigen2"), ()),
    **dict.fromkeys(("sdxl", "wan", "lumina_2"), (COMFY_PREFIX,)),
    **dict.fromkeys(("cosmos_predict2", "anima"), (COMFY_PREFIX, "net.")),
    **dict.fromkeys(("hunyuan-video", "auraflow"), ("model.model.",)),
}

#: What has such names at all.
_MAIN = ("transformer", "checkpoint")

#: The ends of slots in whose place the trainer opens something else than the directory itself: its parts, by name.
_WITH_PARTS = (".diffusers_path", "hunyuan-video.ckpt_path")


@dataclass(frozen=True, slots=True)
class _Given:
    """A file or directory that the configuration names, and the header of all that is in it; `slots` are its places."""

    slots: tuple[str, ...]
    at: str
    path: Path
    header: Header
    component: Component | None

    @property
    def belongs(self) -> tuple[Fingerprint, ...]:
        return tuple(each for slot in self.slots for each in what_belongs(slot))


def check_slots(config: TrainerDocument, model_type: str, root: Path | None, findings: Findings) -> None:
    """Checks all paths of [model]."""
    model = config.table("model")
    found = list(_find(config, model_type, root, findings))
    for given in found:
        refused = _check_one(given, model_type, findings)
        is_main = any(slot.endswith(".diffusion_model") for slot in given.slots)
        check_quantised(given.header, given.path.name, given.at, config, model_type, is_main, findings)
        if not refused and is_main:
            _check_main(given, model_type, findings)
        if not refused:
            check_file_name(given.path, given.slots, model, given.at, findings)
    if model_type == "flux2":
        _check_flux2(found, findings)
    _check_pairs(config, found, findings)
    check_encoder_types(config, model_type, {each.at: each.component for each in found}, findings)


def _find(config: TrainerDocument, model_type: str, root: Path | None, findings: Findings) -> Iterator[_Given]:
    model = config.table("model")
    for key, kind in MODELS[model_type].kinds.items():
        path = _path(model.get(key), root)
        if path is None or (key == "diffusers_path" and is_unopened(model)):
            continue
        slots, at = _slots(model_type, key, model, path), config.at("model", key)
        if kind in (PathKind.PRETRAINED, PathKind.DIRECTORY) and paths.is_directory(path):
            if key == "diffusers_path":
                check_index(path, model_type, at, findings)
                check_parts(path, model, at, findings)
            yield from _find_in(path, slots, at, model, findings)
        else:
            _check_shards(path, at, findings)
            yield from _read(slots, at, path)
    for at, text in _encoders(config):
        path = _path(text, root)
        if path is not None and "text_encoders" in MODELS[model_type].keys:
            yield from _read((f"{model_type}.text_encoders",), at, path)


def _find_in(
    directory: Path, slots: tuple[str, ...], at: str, model: Mapping[str, Any], findings: Findings
) -> Iterator[_Given]:
    """What a directory that is a model holds, as far as the trainer opens it."""
    for part in paths.directories_in(directory):
        inner = tuple(f"{slot}/{part.name}" for slot in slots)
        if is_replaced(part.name, model) or not any(what_belongs(slot) for slot in inner):
            continue
        paths.check_pretrained(part, at, findings)
        _check_shards(part, at, findings)
        yield from _read(inner, at, part)
    # Beside the parts such models often have single files, which the trainer does not open; and of a directory whose
    # weights are named elsewhere it opens only the rest.
    if any(slot.endswith(_WITH_PARTS) for slot in slots) or model.get("transformer_path"):
        return
    if slots != ("wan.ckpt_path",):
        paths.check_pretrained(directory, at, findings)
        if not paths.has_weights(directory):
            findings.error(at, f"{shown(directory.name)} has no weights.", "Download the whole model into it.")
    _check_shards(directory, at, findings)
    yield from _read(slots, at, directory)


def _slots(model_type: str, key: str, model: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """The places that a key stands for. cosmos_predict2 and anima are one code, which goes by what it is given."""
    if model_type not in ("cosmos_predict2", "anima"):
        return (f"{model_type}.{key}",)
    if key == "transformer_path" and model_type == "cosmos_predict2" and "llm_path" in model and "t5_path" not in model:
        return ("anima.transformer_path", "cosmos_predict2.transformer_path")
    if key == "transformer_path" and model.get("llm_adapter_path"):
        return ("cosmos_predict2.transformer_path",)
    if key == "llm_path" and paths.is_directory(path):
        return (ANY_LANGUAGE_MODEL,)
    return (f"anima.{key}" if key == "llm_path" else f"{_TYPE_OF_KEY.get(key, model_type)}.{key}",)


#: Keys that mean the same under both types.
_TYPE_OF_KEY = {"t5_path": "cosmos_predict2", "llm_adapter_path": "anima", "vae_path": "cosmos_predict2"}


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


def _read(slots: tuple[str, ...], at: str, path: Path) -> Iterator[_Given]:
    headers = paths.headers_of(path)
    if headers:
        header = headers[0] if len(headers) == 1 else merged(headers)
        yield _Given(slots, at, path, header, recognise(header))


def _check_shards(directory: Path, at: str, findings: Findings) -> None:
    names = paths.names_in(directory, "") if paths.is_directory(directory) else []
    missing, outside = missing_shards(directory, names), find_outside(directory, names)
    if outside is not None:
        what = f"The index of the weights in {shown(directory.name)} names a file elsewhere: {shown(outside)}."
        findings.error(at, what, "Download the model again, from a source that you trust.")
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        named = ", ".join(shown(name) for name in missing[:3])
        findings.error(
            at, f"Of the weights in {shown(directory.name)} {named}{more} are missing.", "Download the rest of them."
        )


def _check_one(given: _Given, model_type: str, findings: Findings) -> bool:
    """Whether what stands here was refused."""
    remedy, name, component = what_to_name(given.slots), shown(given.path.name), given.component
    adapter = read_adapter(given.header)
    if adapter is not None:
        findings.error(given.at, f"{name} is an adapter ({adapter.kind}), and no model.", remedy)
        return True
    if component is None or (component.name == UNKNOWN_LANGUAGE_MODEL and given.belongs):
        _warn_of_unknown(given, remedy, findings)
    if component is None:
        return False
    is_one = given.slots == (ANY_LANGUAGE_MODEL,) and component.name in LANGUAGE_MODELS
    if not is_one and not set(given.slots) & component.slots:
        findings.error(given.at, f"{name} is {component.title}.", remedy)
        return True
    taken = _TAKEN_OFF.get(model_type)
    if taken is None:
        return False
    # In a directory Wan's names are read as they are.
    if component.kind not in _MAIN or (model_type == "wan" and paths.is_directory(given.path)):
        taken = ()
    left = sorted(given.header.prefixes - set(taken))
    if left:
        findings.error(
            given.at,
            f"{name} is {component.title} with `{left[0]}` before its names, which the trainer does not take off here.",
            "Take the file without that prefix.",
        )
    return bool(left)


def _warn_of_unknown(given: _Given, remedy: str, findings: Findings) -> None:
    """What is not recognised may still be right; of a place whose files no one can tell apart nothing is said."""
    if given.belongs or given.slots == (ANY_LANGUAGE_MODEL,):
        what = "is not recognised by its tensors" if given.component is None else f"is {given.component.title}"
        findings.warn(
            given.at, f"{shown(given.path.name)} {what}: whether the trainer can use it is not known.", remedy
        )


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
    main = next((each.component for each in found if "flux2.diffusion_model" in each.slots), None)
    wanted = None if main is None else _FLUX2_ENCODERS.get(main.name)
    for given in found:
        encoder = given.component
        is_other = encoder is not None and encoder.name != wanted and encoder.name in _FLUX2_ENCODERS.values()
        if "flux2.text_encoders" not in given.slots or not is_other or main is None or encoder is None or not wanted:
            continue
        title = next(each.title for each in given.belongs if each.name == wanted)
        findings.error(
            given.at,
            f"{shown(given.path.name)} is {encoder.title}; with {main.title} the trainer fails at its first step.",
            f"Here belongs {title}.",
        )


def _check_pairs(config: TrainerDocument, found: list[_Given], findings: Findings) -> None:
    """Whether an encoder of several files has each of them."""
    for index in range(8):
        at = config.at("model", "text_encoders", index)
        files = [each for each in found if each.at.startswith(f"{at}/paths/")]
        names = [each.component.name for each in files if each.component is not None]
        for number, given in enumerate(files):
            if len(names) != len(files) or given.component is None or names.index(given.component.name) == number:
                continue
            missing = [each.title for each in given.belongs if each.name not in names]
            findings.error(
                given.at,
                f"{given.component.title.capitalize()} is named twice.",
                f"Here belongs {' or '.join(missing)}.",
            )
