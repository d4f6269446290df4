"""Check that each file in [model] fits its slot: by content and quantisation, or by name if it is not recognised."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.domain.finding import shown
from api.domain.models.part_titles import coded_title
from api.domain.models.weights import Component, Quantisation
from api.domain.reason import Reason
from api.errors import FindingText
from api.files.weights.adapters import read_adapter
from api.files.weights.fingerprints.fingerprint import Fingerprint
from api.files.weights.fingerprints.text_encoders import LANGUAGE_MODELS, UNKNOWN_LANGUAGE_MODEL
from api.files.weights.header import Header, merged
from api.files.weights.recognition import read_quantisation, recognise
from api.files.weights.shards import find_outside, missing_shards
from api.trainers.diffusion_pipe.checks.diffusers_check import check_index, check_parts, is_replaced, is_unopened
from api.trainers.diffusion_pipe.config import paths
from api.trainers.diffusion_pipe.config.document import TrainerDocument, number
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.models.description import FileHint, PathKind
from api.trainers.diffusion_pipe.models.registry import DESCRIPTIONS, MODELS
from api.trainers.diffusion_pipe.models.slots import fingerprints_for, slots_of, titles_for

#: Most characters of a name that are examined.
_MAX_CHARACTERS = 255


#: By slot. Turbo, distilled and unconditional models, from the documentation of this and other trainers.
_HINTS: Mapping[str, tuple[FileHint, ...]] = {
    f"{name}.{key}": hints for name, model in DESCRIPTIONS.items() for key, hints in model.hints.items()
}

#: By a word in the names of Wan 2.2's models: the times for which each is trained.
_NOISES = {"low_noise": (0.0, 0.875), "high_noise": (0.875, 1.0)}

#: Tolerance of these limits, as image-to-video models use 0.9.
_TOLERANCE = 0.05


def check_file_name(path: Path, slots: tuple[str, ...], model: Mapping[str, Any], at: str, findings: Findings) -> None:
    """Warn about a file name that suggests a wrong model."""
    name = path.name[:_MAX_CHARACTERS].lower()
    for hint in (each for slot in slots for each in _HINTS.get(slot, ())):
        is_right = (hint.unless and hint.unless in name) or (hint.lacking and model.get(hint.lacking))
        if hint.word in name and not is_right:
            findings.warn(
                at,
                FindingText("file_name_suspicious", "By its name, {path} is {description}."),
                remedy=hint.remedy,
                path=shown(path.name),
                description=hint.description,
            )
    if "wan.transformer_path" in slots:
        _check_noise(path, name, model, at, findings)


def _check_noise(path: Path, name: str, model: Mapping[str, Any], at: str, findings: Findings) -> None:
    low, high = number(model.get("min_t", 0)), number(model.get("max_t", 1))
    for noise, (begin, end) in _NOISES.items():
        if noise not in name or low is None or high is None:
            continue
        if low < begin - _TOLERANCE or high > end + _TOLERANCE:
            findings.warn(
                at,
                FindingText(
                    "wan_noise_times",
                    (
                        "By its name, {path} is the model of Wan 2.2 for {noise}, but min_t and max_t train it "
                        "at times from {low} to {high}."
                    ),
                    "Set min_t = {begin} and max_t = {end} (for image-to-video, 0.9 instead of 0.875).",
                ),
                path=shown(path.name),
                noise=noise.replace("_", " "),
                low=f"{low:g}",
                high=f"{high:g}",
                begin=f"{begin:g}",
                end=f"{end:g}",
            )


#: Formats that the trainer's own code loads incorrectly or not at all, with descriptions.
_TITLES = {
    Quantisation.SCALED_FP8: "fp8 with scales",
    Quantisation.COMFY: "ComfyUI's format with scales",
    Quantisation.BITSANDBYTES: "the format of bitsandbytes",
    Quantisation.NUNCHAKU: "the format of Nunchaku",
}

#: Formats that ComfyUI's code loads.
_COMFY_SCALES = (Quantisation.SCALED_FP8, Quantisation.COMFY)


def loadable(model_type: str) -> tuple[Quantisation, ...]:
    """Return the formats of quantised weights that the trainer loads for a model type."""
    return (Quantisation.PLAIN_FP8, *(_COMFY_SCALES if MODELS[model_type].comfy else ()))


def check_quantised(
    header: Header, name: str, at: str, config: TrainerDocument, model_type: str, is_trained: bool, findings: Findings
) -> None:
    """Check one file of [model]; `is_trained` marks the file with the trained weights."""
    facts, found = MODELS[model_type], read_quantisation(header)
    if found is None or found not in _TITLES:
        return
    title = f"{shown(name)} is quantised in {_TITLES[found]}"
    if found not in loadable(model_type):
        findings.error(
            at,
            FindingText(
                "quantised_not_loadable",
                "{title}, which the trainer cannot load correctly for this type.",
                "Use the bf16 or fp16 file, or a plain fp8 file without scales.",
            ),
            title=title,
        )
    elif is_trained and "adapter" not in config.values and facts.dtype_key not in config.table("model"):
        findings.error(
            at,
            FindingText(
                "quantised_not_trainable",
                "{title}; such weights cannot be trained in full.",
                "Use the bf16 file, or add [adapter].",
            ),
            title=title,
        )


#: Widths of Flux 2's first layer that the trainer supports.
FLUX2_WIDTHS = (6144, 3072, 4096)

#: The text encoder of each Flux 2 transformer; with another one, caching works but the first step fails.
_FLUX2_ENCODERS = {"flux2-dev": "mistral-small-3", "flux2-klein-9b": "qwen-3-8b", "flux2-klein-4b": "qwen-3-4b"}

#: By type, prefixes of the transformer's tensor names that the type's code removes (models/*.py, commit 8f83dbf).
#: For types not listed here, other code (such as ComfyUI's) reads the names, and the prefixes are unknown.
_REMOVED_PREFIXES: Mapping[str, tuple[str, ...]] = {
    name: model.removed_prefixes for name, model in DESCRIPTIONS.items() if model.removed_prefixes is not None
}

#: Component kinds with such prefixes.
_MAIN = ("transformer", "checkpoint")

#: Ends of slots for which the trainer opens parts by name instead of the directory itself.
_WITH_PARTS = (".diffusers_path", "hunyuan-video.ckpt_path")

#: Other types take a language model as a directory (models/cosmos_predict2.py); only Anima takes a file.
ANY_LANGUAGE_MODEL = "anima.llm_path/"

#: Slots whose files have unknown headers, or too many possible files to list.
_DESCRIPTIONS = {
    **{f"{name}.{key}": title for name, model in DESCRIPTIONS.items() for key, title in model.slot_titles.items()},
    ANY_LANGUAGE_MODEL: "a language model as a directory in transformers' form",
}


@dataclass(frozen=True, slots=True)
class _NamedFile:
    """A file or directory in the configuration, with its slots and the merged header of its weights."""

    slots: tuple[str, ...]
    at: str
    path: Path
    header: Header
    component: Component | None

    @property
    def expected(self) -> tuple[Fingerprint, ...]:
        return tuple(each for slot in self.slots for each in fingerprints_for(slot))


def check_slots(config: TrainerDocument, model_type: str, root: Path | None, findings: Findings) -> None:
    """Check all paths of [model]."""
    model = config.table("model")
    found = list(_find(config, model_type, root, findings))
    for given in found:
        rejected = _check_one(given, model_type, findings)
        is_main = any(slot.endswith(".diffusion_model") for slot in given.slots)
        check_quantised(given.header, given.path.name, given.at, config, model_type, is_main, findings)
        if not rejected and is_main:
            _check_main(given, model_type, findings)
        if not rejected:
            check_file_name(given.path, given.slots, model, given.at, findings)
    if model_type == "flux2":
        _check_flux2(found, findings)
    _check_pairs(config, found, findings)
    _check_encoder_types(config, model_type, {each.at: each.component for each in found}, findings)


def _find(config: TrainerDocument, model_type: str, root: Path | None, findings: Findings) -> Iterator[_NamedFile]:
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
) -> Iterator[_NamedFile]:
    """Yield the files in a model's directory that the trainer opens."""
    for part in paths.directories_in(directory):
        inner = tuple(f"{slot}/{part.name}" for slot in slots)
        if is_replaced(part.name, model) or not any(fingerprints_for(slot) for slot in inner):
            continue
        paths.check_pretrained(part, at, findings)
        _check_shards(part, at, findings)
        yield from _read(inner, at, part)
    # Such directories often also contain single files that the trainer does not open. If the weights are set elsewhere,
    # the trainer opens only the remaining parts.
    if any(slot.endswith(_WITH_PARTS) for slot in slots) or model.get("transformer_path"):
        return
    if slots != ("wan.ckpt_path",):
        paths.check_pretrained(directory, at, findings)
        if not paths.has_weights(directory):
            findings.error(
                at,
                FindingText(
                    "weights_missing", "{directory} has no weights.", "Download all files of the model into it."
                ),
                directory=shown(directory.name),
            )
    _check_shards(directory, at, findings)
    yield from _read(slots, at, directory)


def _slots(model_type: str, key: str, model: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Return the slots of a key. cosmos_predict2 and anima share code, which decides by the keys that are set."""
    if model_type not in ("cosmos_predict2", "anima"):
        return (f"{model_type}.{key}",)
    if key == "transformer_path" and model_type == "cosmos_predict2" and "llm_path" in model and "t5_path" not in model:
        return ("anima.transformer_path", "cosmos_predict2.transformer_path")
    if key == "transformer_path" and model.get("llm_adapter_path"):
        # The separate adapter replaces the one in the file of Anima.
        return ("cosmos_predict2.transformer_path", "anima.transformer_path")
    if key == "llm_path" and paths.is_directory(path):
        return (ANY_LANGUAGE_MODEL,)
    return (f"anima.{key}" if key == "llm_path" else f"{_TYPE_OF_KEY.get(key, model_type)}.{key}",)


#: Keys with the same meaning for both types.
_TYPE_OF_KEY = {"t5_path": "cosmos_predict2", "llm_adapter_path": "anima", "vae_path": "cosmos_predict2"}


def _path(text: Any, root: Path | None) -> Path | None:
    return paths.resolve(text, root)


def _encoders(config: TrainerDocument) -> Iterator[tuple[str, Any]]:
    encoders = config.table("model").get("text_encoders")
    for index, encoder in enumerate(encoders if isinstance(encoders, list) else []):
        if not isinstance(encoder, dict):
            continue
        at = config.at("model", "text_encoders", index)
        yield f"{at}/path", encoder.get("path")
        several = encoder.get("paths")
        for part, path in enumerate(several[:8] if isinstance(several, list) else []):
            yield f"{at}/paths/{part}", path


def _read(slots: tuple[str, ...], at: str, path: Path) -> Iterator[_NamedFile]:
    headers = paths.headers_of(path)
    if headers:
        header = headers[0] if len(headers) == 1 else merged(headers)
        yield _NamedFile(slots, at, path, header, recognise(header))


def _check_shards(directory: Path, at: str, findings: Findings) -> None:
    names = paths.names_in(directory, "") if paths.is_directory(directory) else []
    missing, outside = missing_shards(directory, names), find_outside(directory, names)
    if outside is not None:
        findings.error(
            at,
            FindingText(
                "index_leads_outside",
                "The index of the weights in {directory} refers to a file outside of it: {outside}.",
                "Download the model again from a trusted source.",
            ),
            directory=shown(directory.name),
            outside=shown(outside),
        )
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        named = ", ".join(shown(name) for name in missing[:3])
        findings.error(
            at,
            FindingText(
                "tensors_missing", "The weights in {directory} lack {named}{more}.", "Download the missing files."
            ),
            directory=shown(directory.name),
            named=named,
            more=more,
        )


def _check_one(given: _NamedFile, model_type: str, findings: Findings) -> bool:
    """Return whether the file is rejected."""
    remedy, name, component = advice_for(given.slots), shown(given.path.name), given.component
    adapter = read_adapter(given.header)
    if adapter is not None:
        findings.error(
            given.at,
            FindingText("adapter_not_model", "{name} is an adapter ({kind}), not a model."),
            remedy=remedy,
            name=name,
            kind=adapter.kind,
        )
        return True
    if component is None or (component.name == UNKNOWN_LANGUAGE_MODEL and given.expected):
        _warn_of_unknown(given, remedy, findings)
    if component is None:
        return False
    is_one = given.slots == (ANY_LANGUAGE_MODEL,) and component.name in LANGUAGE_MODELS
    if not is_one and not set(given.slots) & slots_of(component.name):
        findings.error(
            given.at,
            FindingText("component_other", "{name} is {component_title}."),
            remedy=remedy,
            name=name,
            component_title=coded_title(component.title),
        )
        return True
    removed = _REMOVED_PREFIXES.get(model_type)
    if removed is None:
        return False
    # In a directory, Wan's names are read unchanged.
    if component.kind not in _MAIN or (model_type == "wan" and paths.is_directory(given.path)):
        removed = ()
    left = sorted(given.header.prefixes - set(removed))
    if left:
        findings.error(
            given.at,
            FindingText(
                "tensor_prefix",
                "{name} is {component_title} with the prefix `{left}` in tensor names, which the trainer keeps.",
                "Use the file without that prefix.",
            ),
            name=name,
            component_title=coded_title(component.title),
            left=left[0],
        )
    return bool(left)


def _warn_of_unknown(given: _NamedFile, remedy: Reason, findings: Findings) -> None:
    """Warn about an unrecognised file, which may still be right. Skip slots whose files cannot be told apart."""
    if given.expected or given.slots == (ANY_LANGUAGE_MODEL,):
        what = (
            Reason.of("is not recognised", "file_unrecognised")
            if given.component is None
            else Reason.of("is {title}", "file_is", title=coded_title(given.component.title))
        )
        findings.warn(
            given.at,
            FindingText("file_doubtful", "{path} {what}; the trainer may not be able to use it."),
            remedy=remedy,
            path=shown(given.path.name),
            what=what,
        )


def _check_main(given: _NamedFile, model_type: str, findings: Findings) -> None:
    """Check that the weights are of a model that the trainer supports for this type, as it verifies after caching."""
    header = given.header
    if model_type == "flux2" and header.width("img_in.weight") not in FLUX2_WIDTHS:
        widths = ", ".join(map(str, FLUX2_WIDTHS))
        found = f"The width of its `img_in.weight` is {header.width('img_in.weight')}, but the trainer supports"
        findings.error(
            given.at,
            FindingText(
                "flux2_widths",
                "{found} only {widths}.",
                "Set the path of the weights of Flux 2 dev, Klein 4B or Klein 9B.",
            ),
            found=found,
            widths=widths,
        )
    if model_type == "hunyuan_video_15" and header.has_key_starting("guidance_in."):
        findings.error(
            given.at,
            FindingText(
                "model_distilled",
                "This model is distilled for guidance, and the trainer rejects it.",
                "Use the base model.",
            ),
        )
    if model_type == "ltx2" and not header.has_key_starting("vae."):
        findings.error(
            given.at,
            FindingText(
                "vae_missing", "This file has no VAE, which the trainer reads from it.", "Use the complete checkpoint."
            ),
        )


def _check_flux2(found: list[_NamedFile], findings: Findings) -> None:
    main = next((each.component for each in found if "flux2.diffusion_model" in each.slots), None)
    expected = None if main is None else _FLUX2_ENCODERS.get(main.name)
    for given in found:
        encoder = given.component
        is_other = encoder is not None and encoder.name != expected and encoder.name in _FLUX2_ENCODERS.values()
        if "flux2.text_encoders" not in given.slots or not is_other or main is None or encoder is None or not expected:
            continue
        title = next(each.title for each in given.expected if each.name == expected)
        findings.error(
            given.at,
            FindingText(
                "encoder_does_not_fit",
                "{path} is {encoder_title}; with {main_title} the trainer fails at the first step.",
                "Set the path of {title}.",
            ),
            path=shown(given.path.name),
            encoder_title=coded_title(encoder.title),
            main_title=coded_title(main.title),
            title=coded_title(title),
        )


def _check_pairs(config: TrainerDocument, found: list[_NamedFile], findings: Findings) -> None:
    """Check that an encoder with several files has each of them once."""
    for index in range(8):
        at = config.at("model", "text_encoders", index)
        files = [each for each in found if each.at.startswith(f"{at}/paths/")]
        names = [each.component.name for each in files if each.component is not None]
        for part, given in enumerate(files):
            if len(names) != len(files) or given.component is None or names.index(given.component.name) == part:
                continue
            missing = [each.title for each in given.expected if each.name not in names]
            findings.error(
                given.at,
                FindingText("component_twice", "Set twice: {component_title}.", "Set the path of {missing} here."),
                component_title=coded_title(given.component.title),
                missing=" or ".join(missing),
            )


def advice_for(slots: tuple[str, ...]) -> Reason:
    """Return the remedy for a wrong file in these slots."""
    titles = dict.fromkeys(
        title for slot in slots for title in ((_DESCRIPTIONS[slot],) if slot in _DESCRIPTIONS else titles_for(slot))
    )
    if not titles:
        return Reason.of("Set the path of the right file.", "advice_right_file")
    said = Reason.of(
        "Set the path of {titles}.", "advice_path_of", titles=[coded_title(title) for title in titles]
    ).said
    return Reason(f"Set the path of {', or '.join(titles)}.", said)


#: The types for which ComfyUI reads Qwen3 4B as the text encoder of Flux 2 Klein.
_KLEIN = ("flux", "flux2")


def _check_encoder_types(
    config: TrainerDocument, model_type: str, components: Mapping[str, Component | None], findings: Findings
) -> None:
    """Check that the `type` of each text encoder fits its model and file.

    `components` maps pointers to the recognised files. ComfyUI uses the type to choose tokenizer and encoder
    (comfy/sd.py, load_text_encoder_state_dicts): for pairs of files always, and for Qwen3 4B to tell Flux 2 Klein from
    the rest. It treats unknown types as Stable Diffusion's.
    """
    facts, encoders = MODELS[model_type], config.table("model").get("text_encoders")
    expected = facts.encoder_type
    for index, encoder in enumerate(encoders if expected is not None and isinstance(encoders, list) else []):
        kind = encoder.get("type") if isinstance(encoder, dict) else None
        if not isinstance(kind, str) or kind.lower() == expected or {kind.lower(), expected} <= set(_KLEIN):
            continue
        at = config.at("model", "text_encoders", index)
        names = {
            found.name for location, found in components.items() if found is not None and location.startswith(f"{at}/")
        }
        is_other = "qwen-3-4b" in names and (kind.lower() in _KLEIN) != (expected in _KLEIN)
        add = findings.error if is_other or facts.encoder_files > 1 else findings.warn
        add(
            f"{at}/type",
            FindingText(
                "encoder_type_other",
                (
                    "The text encoder of {model_type} needs the type `{expected}`. With `{kind}` ComfyUI may use the "
                    "tokenizer of another model, so that the trainer fails or learns from wrong captions."
                ),
                "Set type = '{expected}'.",
            ),
            model_type=model_type,
            expected=expected,
            kind=shown(kind),
        )
