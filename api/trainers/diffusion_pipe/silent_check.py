"""Warns about settings that the trainer silently ignores or interprets in unexpected ways."""

from functools import partial

from api.domain.training import TrainingRequest
from api.trainers.diffusion_pipe.buckets import Settings
from api.trainers.diffusion_pipe.document import TrainerDocument, as_integer, number
from api.trainers.diffusion_pipe.files import WANDB_VARIABLE
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_types import MODELS, ModelFacts

#: Model types that support control images. Others fail in a child process, for which the trainer waits forever.
_EDITORS = ("flux", "flux2", "qwen_image")

#: Keys that shift the timesteps, read only if `shift` is not set.
_SHIFTS_BY_SIZE = ("flux_shift", "lumina_shift")

_RATIOS = ("ar_buckets", "min_ar", "max_ar", "num_ar_buckets")


def check_silent(config: TrainerDocument, model_type: str | None, request: TrainingRequest, findings: Findings) -> None:
    """Check the training configuration."""
    monitoring = config.table("monitoring")
    if monitoring.get("enable_wandb") and monitoring.get("wandb_api_key") == "" and WANDB_VARIABLE not in request.env:
        findings.warn(
            config.at("monitoring", "wandb_api_key"),
            "The key is empty, so Weights & Biases prompts for one and the training waits.",
            f"Set the key here, or in `env` as {WANDB_VARIABLE}.",
        )
    if model_type == "sdxl":
        _check_sdxl(config, findings)
    _check_timesteps(config, findings)
    is_off = not config.table("model").get("cache_text_embeddings", True)
    if is_off and model_type is not None and MODELS[model_type].caches_text and model_type != "sdxl":
        findings.warn(
            config.at("model", "cache_text_embeddings"),
            f"The trainer always caches text embeddings of {model_type}; this only keeps the encoders in memory.",
            "Remove it.",
        )


def _check_timesteps(config: TrainerDocument, findings: Findings) -> None:
    model, at = config.table("model"), partial(config.at, "model")
    for name in _SHIFTS_BY_SIZE if model.get("shift") else ():
        if model.get(name):
            findings.warn(at(name), "`shift` is set as well and takes precedence.", "Remove one of them.")
    if model.get("timestep_sample_method") == "uniform" and "sigmoid_scale" in model:
        findings.warn(
            at("sigmoid_scale"), "This key is ignored with timestep_sample_method = 'uniform'.", "Remove one of them."
        )


def check_warmup(config: TrainerDocument, total_steps: int | None, findings: Findings) -> None:
    """Warn when the warmup is longer than the training, so that the learning rate never reaches its value."""
    warmup = number(config.values.get("warmup_steps"))
    if warmup is not None and total_steps is not None and warmup >= total_steps:
        findings.warn(
            config.at("warmup_steps"),
            f"The whole training has {total_steps} steps: the learning rate never reaches its value.",
            "Set fewer warmup_steps.",
        )


def _check_sdxl(config: TrainerDocument, findings: Findings) -> None:
    if config.table("model").get("debiased_estimation_loss", True) in (False, 0):
        findings.warn(
            config.at("model", "debiased_estimation_loss"),
            "The trainer only checks whether the key exists, so this value enables the loss.",
            "Remove the key.",
        )
    for name in ("huber_delta", "smooth_l1_beta"):
        if name in config.values:
            findings.warn(config.at(name), "The trainer does not read this for sdxl.", "Remove it.")


def check_silent_settings(settings: Settings, model_type: str | None, findings: Findings) -> None:
    """Check the settings of one directory of a dataset."""
    if settings.get("size_buckets") is None and not settings.get("enable_ar_bucket", False):
        for name in _RATIOS:
            if settings.get(name) is not None:
                findings.warn(
                    settings.at(name),
                    "Without enable_ar_bucket this key is ignored, and all media are cropped to squares.",
                    "Set enable_ar_bucket = true.",
                )
    shuffles = as_integer(settings.get("cache_shuffle_num", 0)) or settings.get("shuffle_tags", False)
    if settings.get("cache_shuffle_delimiter") is not None and not shuffles:
        findings.warn(
            settings.at("cache_shuffle_delimiter"),
            "Without cache_shuffle_num or shuffle_tags nothing is shuffled, so this key is ignored.",
            "Set cache_shuffle_num, or remove this key.",
        )
    at = partial(settings.document.at, "directory", settings.index)
    if model_type is not None and settings.own.get("control_path") is not None and model_type not in _EDITORS:
        findings.error(
            at("control_path"),
            f"{model_type} does not support control images. The trainer would hang and occupy its GPUs.",
            f"Remove the key, or train one of {', '.join(_EDITORS)}.",
        )
    if model_type is not None:
        _check_frames(settings, MODELS[model_type], findings)


def _check_frames(settings: Settings, facts: ModelFacts, findings: Findings) -> None:
    step, rest = facts.frame_step, facts.frame_rest
    name, lengths = "frame_buckets", settings.get("frame_buckets", [1])
    sizes = settings.get("size_buckets")
    if sizes is not None and not isinstance(sizes, list):
        return
    if sizes is not None:
        name, lengths = "size_buckets", [size[-1] if isinstance(size, list) and size else None for size in sizes]
    if step == 1 or not isinstance(lengths, list):
        return
    for index, value in enumerate(lengths):
        length = number(value)
        if length is not None and length > 1 and (length - rest) % step:
            used = int((length - rest) // step) * step + rest
            findings.warn(
                settings.at(name, index),
                f"The trainer uses {max(used, 1)} of these {length:g} frames: a multiple of {step}"
                f"{' plus 1' if rest else ''}.",
                f"Set {used} or {used + step}." if used > 1 else f"Set {used + step}.",
            )
