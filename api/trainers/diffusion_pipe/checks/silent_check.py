"""Warn about settings that the trainer silently ignores or interprets in unexpected ways."""

import math
from collections.abc import Collection
from functools import partial

from api.domain.reason import Reason
from api.domain.tasks.training import TrainingRequest
from api.errors import FindingText
from api.trainers.diffusion_pipe.config.config_files import WANDB_VARIABLE
from api.trainers.diffusion_pipe.config.document import MAX_COUNT, TrainerDocument, as_integer, number
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.dataset.buckets import RATIOS, Settings
from api.trainers.diffusion_pipe.models.description import ModelFacts
from api.trainers.diffusion_pipe.models.registry import DESCRIPTIONS, MODELS

#: Model types that support control images. Others fail in a child process, for which the trainer waits forever.
_EDITORS = tuple(name for name, model in DESCRIPTIONS.items() if model.reads_control_images)

#: Model types whose loss is always the mean squared error.
_OWN_LOSS = tuple(name for name, model in DESCRIPTIONS.items() if model.has_own_loss)

#: Keys that shift the timesteps, read only if `shift` is not set.
_SHIFTS_BY_SIZE = ("flux_shift", "lumina_shift")

#: The learning rate at the end of the cosine scheduler.
_COSINE_END = 1e-6

#: Share of the planned steps below which a falling learning rate has hardly fallen.
_LEAST_SHARE = 0.5

#: The smallest side in pixels for which the loss at several scales is computed.
_MULTISCALE_SIDE = 922


def check_silent(config: TrainerDocument, model_type: str | None, request: TrainingRequest, findings: Findings) -> None:
    """Check the training configuration."""
    monitoring = config.table("monitoring")
    if monitoring.get("enable_wandb") and monitoring.get("wandb_api_key") == "" and WANDB_VARIABLE not in request.env:
        findings.warn(
            config.at("monitoring", "wandb_api_key"),
            FindingText(
                "wandb_key_empty",
                "The key is empty, so Weights & Biases prompts for one and the training waits.",
                "Set the key here, or in `env` as {variable}.",
            ),
            variable=WANDB_VARIABLE,
        )
    if model_type == "sdxl":
        _check_sdxl(config, findings)
    for name in ("huber_delta", "smooth_l1_beta") if model_type in _OWN_LOSS else ():
        if name in config.values:
            findings.warn(
                config.at(name),
                FindingText("not_read_for_model", "The trainer does not read this for {model_type}.", "Remove it."),
                model_type=model_type,
            )
    if model_type == "hunyuan-video" and isinstance(config.table("model").get("guidance"), str):
        findings.error(
            config.at("model", "guidance"),
            FindingText("guidance_in_quotes", "The trainer fails on a number in quotes.", "Write it without quotes."),
        )
    _check_cosine(config, findings)
    _check_timesteps(config, findings)
    is_off = not config.table("model").get("cache_text_embeddings", True)
    if is_off and model_type is not None and MODELS[model_type].caches_text and model_type != "sdxl":
        findings.warn(
            config.at("model", "cache_text_embeddings"),
            FindingText(
                "text_embeddings_cached",
                "The trainer always caches text embeddings of {model_type}; this only keeps the encoders in memory.",
                "Remove it.",
            ),
            model_type=model_type,
        )


def _check_cosine(config: TrainerDocument, findings: Findings) -> None:
    rate = number(config.table("optimizer").get("lr"))
    if config.values.get("lr_scheduler") == "cosine" and rate is not None and 0 < rate < _COSINE_END:
        findings.warn(
            config.at("lr_scheduler"),
            FindingText(
                "cosine_rises",
                "The cosine scheduler ends at {end}, so the learning rate rises from {rate}.",
                "Set a higher `lr`, or lr_scheduler = 'linear'.",
            ),
            end=f"{_COSINE_END:g}",
            rate=f"{rate:g}",
        )


def _check_timesteps(config: TrainerDocument, findings: Findings) -> None:
    model, at = config.table("model"), partial(config.at, "model")
    for name in _SHIFTS_BY_SIZE if model.get("shift") else ():
        if model.get(name):
            findings.warn(
                at(name),
                FindingText("shift_overrides", "`shift` is set as well and takes precedence.", "Remove one of them."),
            )
    if model.get("timestep_sample_method") == "uniform" and "sigmoid_scale" in model:
        findings.warn(
            at("sigmoid_scale"),
            FindingText(
                "sigmoid_scale_ignored",
                "This key is ignored with timestep_sample_method = 'uniform'.",
                "Remove one of them.",
            ),
        )


def check_schedule(
    config: TrainerDocument, steps_per_epoch: int | None, total_steps: int | None, findings: Findings
) -> None:
    """Warn when the learning rate never reaches the value that its warmup or scheduler leads to."""
    epochs = number(config.values.get("epochs")) or 0
    scheduler = config.values.get("lr_scheduler")
    if scheduler in ("linear", "cosine") and 0 < epochs <= MAX_COUNT and steps_per_epoch and total_steps is not None:
        planned = epochs * steps_per_epoch
        if total_steps < planned * _LEAST_SHARE:
            findings.warn(
                config.at("max_steps"),
                FindingText(
                    "schedule_hardly_falls",
                    (
                        "The {scheduler} scheduler lowers the learning rate over {planned} steps (all epochs), but the "
                        "training ends after {total_steps}, when it has hardly fallen."
                    ),
                    "Set fewer epochs, so that they end near max_steps.",
                ),
                scheduler=scheduler,
                planned=f"{planned:.0f}",
                total_steps=total_steps,
            )
    if "epochs" not in config.values and steps_per_epoch is not None and (total_steps or 0) >= steps_per_epoch:
        findings.error(
            config.at("epochs"),
            FindingText(
                "epochs_read_later",
                (
                    "`epochs` is missing, and the trainer reads it when the first epoch ends, after "
                    "{steps_per_epoch} steps."
                ),
                "Set the number of epochs.",
            ),
            steps_per_epoch=steps_per_epoch,
        )
    warmup = number(config.values.get("warmup_steps"))
    if warmup is not None and total_steps is not None and warmup >= total_steps:
        findings.warn(
            config.at("warmup_steps"),
            FindingText(
                "warmup_too_long",
                "The whole training has {total_steps} steps: the learning rate never reaches its value.",
                "Set fewer warmup_steps.",
            ),
            total_steps=total_steps,
        )


def check_sizes(config: TrainerDocument, buckets: Collection[tuple[int, int, int]], findings: Findings) -> None:
    """Check the loss at several scales, which is computed for large images only."""
    if not config.table("model").get("multiscale_loss_weight"):
        return
    at = config.at("model", "multiscale_loss_weight")
    large = [bucket for bucket in buckets if math.sqrt(bucket[0] * bucket[1]) >= _MULTISCALE_SIDE]
    if any(frames > 1 for _, _, frames in large):
        findings.error(
            at,
            FindingText(
                "loss_fails_on_videos",
                "The trainer fails on videos with this loss.",
                "Remove it, or train on images only.",
            ),
        )
    elif buckets and not large:
        findings.warn(
            at,
            FindingText(
                "multiscale_without_effect",
                "The loss at several scales has an effect only from {side} pixels, and all sizes are smaller.",
                "Remove it, or set larger resolutions.",
            ),
            side=_MULTISCALE_SIDE,
        )


def _check_sdxl(config: TrainerDocument, findings: Findings) -> None:
    if config.table("model").get("debiased_estimation_loss", True) in (False, 0):
        findings.warn(
            config.at("model", "debiased_estimation_loss"),
            FindingText(
                "loss_enabled_by_presence",
                "The trainer only checks whether the key exists, so this value enables the loss.",
                "Remove the key.",
            ),
        )
    if config.table("model").get("min_snr_gamma") == 0:
        findings.warn(
            config.at("model", "min_snr_gamma"),
            FindingText(
                "min_snr_zero",
                "0 multiplies the loss by 0, so nothing is learned.",
                "Set for example 5, or remove the key.",
            ),
        )
    if "exclude_modules" in config.table("adapter"):
        findings.warn(
            config.at("adapter", "exclude_modules"),
            FindingText("not_read_for_sdxl", "The trainer does not read this for sdxl.", "Remove it."),
        )


def check_silent_settings(settings: Settings, model_type: str | None, findings: Findings) -> None:
    """Check the settings of one directory of a dataset."""
    if settings.get("size_buckets") is None and not settings.get("enable_ar_bucket", False):
        for name in ("ar_buckets", *RATIOS):
            if settings.get(name) is not None:
                findings.warn(
                    settings.at(name),
                    FindingText(
                        "ar_bucket_off",
                        "Without enable_ar_bucket this key is ignored, and all media are cropped to squares.",
                        "Set enable_ar_bucket = true.",
                    ),
                )
    shuffles = as_integer(settings.get("cache_shuffle_num", 0)) or settings.get("shuffle_tags", False)
    if settings.get("cache_shuffle_delimiter") is not None and not shuffles:
        findings.warn(
            settings.at("cache_shuffle_delimiter"),
            FindingText(
                "shuffle_off",
                "Without cache_shuffle_num or shuffle_tags nothing is shuffled, so this key is ignored.",
                "Set cache_shuffle_num, or remove this key.",
            ),
        )
    if settings.get("cache_shuffle_delimiter") == "" and shuffles:
        findings.error(
            settings.at("cache_shuffle_delimiter"),
            FindingText(
                "delimiter_empty",
                "An empty delimiter cannot split a caption, and the trainer fails.",
                "Set for example ', ', or remove the key.",
            ),
        )
    at = partial(settings.document.at, "directory", settings.index)
    if model_type is not None and settings.own.get("control_path") is not None and model_type not in _EDITORS:
        findings.error(
            at("control_path"),
            FindingText(
                "control_images_unsupported",
                "{model_type} does not support control images. The trainer would hang and occupy its GPUs.",
                "Remove the key, or train one of {editors}.",
            ),
            model_type=model_type,
            editors=", ".join(_EDITORS),
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
                FindingText(
                    "frames_rounded", "The trainer uses {used} of these {length} frames: a multiple of {step}{plus}."
                ),
                remedy=Reason.of("Set {one} or {other}.", "advice_set_either", one=used, other=used + step)
                if used > 1
                else Reason.of("Set {value}.", "advice_set_value", value=used + step),
                used=max(used, 1),
                length=f"{length:g}",
                step=step,
                plus=" plus 1" if rest else "",
            )
