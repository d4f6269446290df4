"""Check [model]: type, paths and keys; determine the variant of the model."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from api.domain.finding import shown
from api.domain.reason import Reason
from api.errors import FindingText
from api.trainers.diffusion_pipe.checks.diffusers_check import is_unopened
from api.trainers.diffusion_pipe.checks.wan_files import IMAGE_MARK, wan_config, wan_transformer
from api.trainers.diffusion_pipe.config import paths
from api.trainers.diffusion_pipe.config.document import TrainerDocument, number, positive
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.key_check import check_names, check_values
from api.trainers.diffusion_pipe.config.keys import MODEL, MODEL_COMMON, TOP
from api.trainers.diffusion_pipe.config.trainer_code import TrainerCode
from api.trainers.diffusion_pipe.models.description import ModelFacts, PathKind
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.util.text.suggestions import nearest_variant

#: The cache name of a Flux 2 variant, by the width of its first layer.
_FLUX2_CACHES = {6144: "flux2", 3072: "flux2_klein_4b", 4096: "flux2_klein_9b"}


@dataclass(frozen=True, slots=True)
class Variant:
    """The properties of a model that the dataset check needs: frame rate, rounding, possible cache names."""

    caches: tuple[str, ...]
    framerate: int | None = None
    round_to: int = 16
    videos_only: bool = False
    type: str = ""

    @property
    def pixels_to(self) -> int:
        """The number of pixels of which width and height of the pictures are multiples."""
        # Only the variants of this type differ.
        return self.round_to if self.type == "wan" else MODELS[self.type].pixels_to


def read_type(config: TrainerDocument | None, requested: str, findings: Findings) -> str | None:
    """Return the model type, on which request and configuration must agree, or None if unknown."""
    written = config.table("model").get("type") if config is not None else None
    if config is not None and isinstance(config.values.get("model"), dict) and not isinstance(written, str):
        problem = (
            FindingText("model_type_missing", "`type` is missing.", "Set type = '{type}'.")
            if written is None
            else FindingText("model_type_not_string", "`type` is not a string.", "Set type = '{type}'.")
        )
        findings.error(config.at("model", "type"), problem, type=shown(requested) or "flux")
    if config is not None and isinstance(written, str) and written in MODELS and requested and written != requested:
        findings.error(
            config.at("model", "type"),
            FindingText(
                "model_types_differ",
                "The configuration sets the type `{written}`, but the request `{requested}`.",
                "Use the same type in both.",
            ),
            written=shown(written),
            requested=shown(requested),
        )
    name = written if isinstance(written, str) else requested
    at = config.at("model", "type") if config is not None and isinstance(written, str) else "/model_type"
    if name in MODELS:
        if findings.code.lacks(name):
            findings.warn(
                at,
                FindingText(
                    "model_type_not_read",
                    "The code of the trainer's checkout does not contain the model type `{name}`.",
                    "Update the checkout and its submodules.",
                ),
                name=name,
            )
        return name
    findings.error(
        at,
        FindingText("model_type_unknown", "The trainer has no model type `{name}`."),
        remedy=suggest_type(name, findings.code),
        name=shown(name),
    )
    return None


def suggest_type(name: str, code: TrainerCode) -> Reason:
    """Return the remedy for an unknown model type: the most similar type, and all that the checkout's code knows."""
    types = [each for each in sorted(MODELS) if not code.lacks(each)]
    near, known = nearest_variant(name, types), ", ".join(types)
    if near is None:
        return Reason.of("Set one of {known}.", "advice_types", known=known)
    return Reason.of("Did you mean `{near}`? Known: {known}.", "advice_near_type", near=near, known=known)


def check_model(config: TrainerDocument, model_type: str, root: Path | None, findings: Findings) -> None:
    """Check the keys and paths of [model]."""
    if not isinstance(config.values.get("model"), dict):
        return
    model, facts = config.table("model"), MODELS[model_type]
    at = partial(config.at, "model")
    known = (MODEL_COMMON - facts.unread) | facts.keys | facts.kinds.keys()
    known |= {facts.dtype_key} if facts.dtype_key else set()
    check_names(model, sorted(known), at, findings, _ELSEWHERE)
    # `read_type` has checked the type.
    check_values(
        {name: value for name, value in model.items() if name in known | _CONVERTED and name != "type"},
        MODEL,
        at,
        findings,
    )
    for name in ("dtype", *facts.required):
        if name not in model:
            findings.error(
                at(name),
                FindingText("model_key_missing", "`{name}` is missing."),
                remedy=_ADVICE.get(name, Reason.of("Set `{name}`.", "advice_set", name=name)),
                name=name,
            )
    _check_paths(config, facts, root, findings)
    _check_comfy(config, facts, root, findings)
    _check_ranges(config, model_type, findings)


#: Keys whose values the trainer converts for every type.
_CONVERTED = frozenset({"transformer_dtype", "diffusion_model_dtype"})

#: Keys that other model types read, with remedies.
_NEVER_READ = dict.fromkeys(
    ("transformer_dtype", "diffusion_model_dtype", "guidance", *sorted(MODEL_COMMON)),
    "the [model] of other types; remove it here",
)

_ELSEWHERE = {
    **dict.fromkeys(TOP, "the configuration itself, not in [model]"),
    **dict.fromkeys(MODEL, "the [model] of other types; remove it here"),
    **{name: "the [model] of other types; remove it here" for facts in MODELS.values() for name in facts.kinds},
    **_NEVER_READ,
}

_ADVICE = {
    "dtype": Reason.of("Set dtype = 'bfloat16'.", "advice_set_dtype"),
    "max_sequence_length": Reason.of("Set 256, or 768 for Pony V7.", "advice_set_length"),
}


def find_variant(config: TrainerDocument | None, model_type: str, root: Path | None) -> Variant:
    """Return the variant of a model according to its files, or the plainest one if they do not show it."""
    facts = MODELS[model_type]
    plain = Variant((facts.cache_name or model_type,), facts.framerate, facts.round_to, type=model_type)
    if config is None:
        return plain
    model = config.table("model")
    match model_type:
        case "wan":
            return _wan(model, plain, root)
        case "flux2":
            return Variant(_flux2_caches(model, root), type=model_type)
        case "ltx-video" if isinstance(single := model.get("single_file_path"), str) and single:
            return Variant((Path(single).stem,), facts.framerate, facts.round_to, type=model_type)
        case "cosmos_predict2" | "anima":
            cache = "cosmos_predict2" if "t5_path" in model else "anima"
            return Variant((cache,), facts.framerate, facts.round_to, type=model_type)
    return plain


def _check_paths(config: TrainerDocument, facts: ModelFacts, root: Path | None, findings: Findings) -> None:
    given = config.table("model")
    model = {name: value for name, value in given.items() if value != "" or name not in facts.may_be_empty}
    if not any(all(name in model for name in names) for names in facts.alternatives):
        best = max(facts.alternatives, key=lambda names: sum(name in model for name in names))
        others = [" + ".join(names) for names in facts.alternatives]
        for name in best:
            if name not in model:
                findings.error(
                    config.at("model", name),
                    FindingText("model_keys_missing", "`{name}` is missing.", "This type needs {others}."),
                    name=name,
                    others=", or ".join(others),
                )
    for name, kind in facts.kinds.items():
        if name in model and not (name == "diffusers_path" and is_unopened(model)):
            _check_text_path(model[name], kind, config.at("model", name), root, findings)
    _check_flux(config, root, findings)


def _check_text_path(value: Any, kind: PathKind, at: str, root: Path | None, findings: Findings) -> None:
    if isinstance(value, str):
        paths.check_path(value, kind, at, root, findings)
    else:
        findings.error(at, FindingText("path_not_string", "The path is not a string.", "Write it in quotes."))


def _check_flux(config: TrainerDocument, root: Path | None, findings: Findings) -> None:
    model = config.table("model")
    diffusers = model.get("diffusers_path")
    if model.get("type") != "flux" or not isinstance(diffusers, str) or model.get("transformer_path"):
        return
    directory = paths.resolve(diffusers, root)
    is_whole = directory is None or not paths.is_directory(directory) or paths.is_directory(directory / "transformer")
    if is_whole and not paths.is_hub_name(diffusers, root):
        return
    findings.error(
        config.at("model", "transformer_path"),
        FindingText(
            "transformer_missing",
            "diffusers_path has no local directory `transformer`, and transformer_path is missing.",
            "Set the path of a complete local model, or set transformer_path.",
        ),
    )


def _check_comfy(config: TrainerDocument, facts: ModelFacts, root: Path | None, findings: Findings) -> None:
    model = config.table("model")
    merged = model.get("merge_adapters")
    if "merge_adapters" in facts.keys and isinstance(merged, list):
        for index, path in enumerate(merged):
            _check_text_path(path, PathKind.COMFY, config.at("model", "merge_adapters", index), root, findings)
    encoders = model.get("text_encoders")
    if "text_encoders" not in facts.keys or not isinstance(encoders, list):
        return
    if not encoders:
        findings.error(
            config.at("model", "text_encoders"),
            FindingText("encoders_empty", "The list is empty.", "Add a text encoder."),
        )
    for index, encoder in enumerate(encoders):
        _check_encoder(encoder, facts, config.at("model", "text_encoders", index), root, findings)
    if len(encoders) > 1:
        findings.warn(
            config.at("model", "text_encoders", 1),
            FindingText(
                "encoders_several",
                "The trainer loads the files of the last entry for all entries and trains with the first.",
                "Keep one entry; one with several files has `paths`.",
            ),
        )


def _check_encoder(encoder: Any, facts: ModelFacts, at: str, root: Path | None, findings: Findings) -> None:
    if not isinstance(encoder, dict):
        findings.error(
            at, FindingText("encoder_not_table", "This entry is not a table.", "Write {path = '…', type = '…'}.")
        )
        return
    if not isinstance(encoder.get("type"), str):
        findings.error(
            f"{at}/type",
            FindingText(
                "encoder_type_missing", "The type of the text encoder is missing.", "Set type = '{encoder_type}'."
            ),
            encoder_type=facts.encoder_type,
        )
    name = "paths" if "paths" in encoder else "path"
    found = encoder.get(name)
    count = len(found) if isinstance(found, list) else isinstance(found, str)
    if 0 < count < facts.encoder_files:
        findings.error(
            f"{at}/{name}",
            FindingText(
                "encoder_files_few",
                "This text encoder needs {number} files; with fewer, the trainer fails on the captions.",
                "Set paths = ['…', '…'] with {number} files.",
            ),
            number=facts.encoder_files,
        )
    if isinstance(found, str):
        paths.check_path(found, PathKind.COMFY, f"{at}/{name}", root, findings)
    elif isinstance(found, list) and found:
        for index, path in enumerate(found):
            _check_text_path(path, PathKind.COMFY, f"{at}/{name}/{index}", root, findings)
    else:
        findings.error(
            f"{at}/{name}",
            FindingText(
                "encoder_path_missing", "The path of the text encoder is missing.", "Set `path` (or `paths`, a list)."
            ),
        )


def _check_ranges(config: TrainerDocument, model_type: str, findings: Findings) -> None:
    model = config.table("model")
    low, high = number(model.get("min_t", 0)), number(model.get("max_t", 1))
    if model_type == "wan" and low is not None and high is not None and low >= high:
        findings.error(
            config.at("model", "min_t"),
            FindingText("min_t_not_below", "min_t is not below max_t.", "Set 0 ≤ min_t < max_t ≤ 1."),
        )
    cfg = number(model.get("cfg", 1))
    stages = positive(config.values.get("pipeline_stages", 1), 1)
    if model_type == "minimax_h3" and cfg is not None and cfg > 1 and stages > 1:
        findings.error(
            config.at("model", "cfg"),
            FindingText("cfg_stages", "`cfg` above 1 needs pipeline_stages = 1.", "Remove `cfg`, or use one stage."),
        )


def _wan(model: dict[str, Any], plain: Variant, root: Path | None) -> Variant:
    known = wan_config(model, root) or {}
    checkpoint = model.get("ckpt_path")
    is_skyreels = isinstance(checkpoint, str) and "skyreels" in Path(checkpoint).name.lower()
    framerate = 24 if is_skyreels else plain.framerate
    match known.get("model_type"):
        case "t2v":
            return Variant(("skyreels_v2" if is_skyreels else "wan",), framerate, type="wan")
        case "i2v":
            first = "skyreels_v2_i2v" if is_skyreels else "wan_i2v"
            transformer = wan_transformer(model, root)
            headers = [] if transformer is None else paths.headers_of(transformer)
            if not headers:
                return Variant((first, "wan2.2_i2v"), framerate, videos_only=True, type="wan")
            cache = first if any(IMAGE_MARK in header.shapes for header in headers) else "wan2.2_i2v"
            return Variant((cache,), framerate, videos_only=True, type="wan")
        case "flf2v":
            return Variant(("wan_flf2v",), framerate, videos_only=True, type="wan")
        case "ti2v":
            return Variant(("wan2.2_5b",), 24, 32, type="wan")
    return Variant(("skyreels_v2",) if is_skyreels else ("wan",), framerate, type="wan")


def _flux2_caches(model: dict[str, Any], root: Path | None) -> tuple[str, ...]:
    text = model.get("diffusion_model")
    path = paths.resolve(text, root) if isinstance(text, str) else None
    for header in () if path is None else paths.headers_of(path):
        shape = header.shapes.get("img_in.weight", (0,))
        if shape and shape[0] in _FLUX2_CACHES:
            return (_FLUX2_CACHES[shape[0]],)
    return tuple(_FLUX2_CACHES.values())
