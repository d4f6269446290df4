"""Check [optimizer]. All keys but three become arguments of the optimizer, so a wrong key fails after loading."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from api.domain.finding import shown
from api.domain.reason import Reason
from api.trainers.diffusion_pipe.document import TrainerDocument, number
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.key_check import advise_argument, suggest
from api.trainers.diffusion_pipe.keys import OPTIMIZERS
from api.trainers.diffusion_pipe.optimizer_classes import OptimizerClass, OptimizerClasses, find_classes

#: Keys of [optimizer] that the trainer removes before it creates the optimizer.
_OWN_KEYS = ("type", "gradient_release", "beta2_half_life")

#: Optimizers that determine their learning rate, and those that require one.
_NEED_NO_RATE = ("automagic", "genericoptim", "prodigy")
_NEED_A_RATE = ("adamw_optimi", "stableadamw")

#: Model types that pass the learning rate on to each group, even if it is missing.
_PASS_RATES_ON = ("cosmos_predict2", "anima")

#: Keys of the groups' learning rates, without the part outside of the blocks, which adapters do not train.
_GROUPS = ("self_attn_lr", "cross_attn_lr", "mlp_lr", "mod_lr")

#: Keys of the learning rates of all groups of sdxl.
_SDXL_RATES = frozenset({"unet_lr", "text_encoder_1_lr", "text_encoder_2_lr"})

#: The highest learning rate that automagic accepts.
_HIGHEST_AUTOMAGIC = 1e-3

#: The values that genericoptim accepts.
_CHOICES = {"momentum_type": ("ema", "sm", "none"), "second_moment_type": ("ema", "none", "sn", "factored")}

#: Kinds of projections of genericoptim, and the arguments that it needs with each other.
_PROJECTIONS = ("svd", "uniform", "topk", "srht")
_PROJECTED = {"rank": ("update_proj_gap", "proj_type"), "update_proj_gap": ("rank",)}

#: Model types whose parameter groups each have a learning rate, which gradient_release needs.
_RELEASE_GRADIENTS = ("sdxl", "cosmos_predict2", "anima")

#: Arguments that no optimizer has.
_NEVER = ("learning_rate", "args", "kwargs", "optimizer", "params")

#: Arguments that are always numbers.
_NUMBERS = frozenset(
    {"weight_decay", "momentum", "dampening", "min_lr", "max_lr", "lr_bump", "clip_threshold", "beta2", "d_coef", "d0"}
)

_DECAY_AND_EPS = ("weight_decay", "eps")

#: Numbers that these optimizers reject below 0; other classes have their own rules.
_NOT_NEGATIVE = {
    **dict.fromkeys(("adamw", "offload", "adamw8bit", "adamw8bitkahan", "adamw_optimi", "stableadamw"), _DECAY_AND_EPS),
    "sgd": ("weight_decay", "momentum"),
    "genericoptim": ("eps",),
}

#: Optimizers that unpack exactly two betas; the other built-in ones use the first two of a list.
_TWO_BETAS = ("adamw", "offload", "genericoptim")

#: Keys of which genericoptim accepts only one.
_MUONS = ("muon", "adamuon", "normuon")

#: Argument values that bitsandbytes' 8-bit optimizers reject, with remedies.
_REFUSED = {
    "amsgrad": (True, Reason.of("Remove it.", "advice_remove")),
    "optim_bits": (8, Reason.of("Remove it: the type implies it.", "advice_remove_implied")),
}

#: The highest plausible learning rate. Optimizers that find their rate multiply it by 1.
_HIGHEST_RATE = 1.0


def check_optimizer(
    config: TrainerDocument, model_type: str | None, found: Findings, classes: OptimizerClasses | None = None
) -> None:
    """Check [optimizer]; `classes` are those of pytorch_optimizer, by default those of a known version."""
    if not isinstance(config.values.get("optimizer"), dict):
        return
    optimizer = config.table("optimizer")
    at = partial(config.at, "optimizer")
    name = optimizer.get("type")
    if not isinstance(name, str):
        found.error(at("type"), "optimizer_type_not_string" if "type" in optimizer else "optimizer_type_missing")
        return
    known = OPTIMIZERS.get(name.lower())
    if known is None:
        check_class(optimizer, name, classes or find_classes(None), _OWN_KEYS + _NEVER, at, found)
    _check_names(optimizer, known, at, found)
    _check_values(optimizer, name.lower(), at, found)
    _check_combinations(optimizer, name.lower(), at, found)
    _check_rate(config, name, model_type, found)
    _check_betas(optimizer, name.lower(), at, found)
    _check_frozen(config, model_type, at, found)
    if optimizer.get("gradient_release") and model_type is not None and model_type not in _RELEASE_GRADIENTS:
        found.error(
            at("gradient_release"),
            "gradient_release_model",
            optimizers=", ".join(_RELEASE_GRADIENTS),
            model_type=model_type,
        )


def _check_names(optimizer: dict[str, Any], known: frozenset[str] | None, at: Any, found: Findings) -> None:
    for name in optimizer:
        is_unknown = name in _NEVER if known is None else name not in known
        if name in _OWN_KEYS or not is_unknown:
            continue
        names = (*_OWN_KEYS, *sorted(known or ("lr", "betas", "weight_decay", "eps")))
        advice = Reason.of("Use `lr`.", "advice_use_lr") if name == "learning_rate" else advise_argument(name, names)
        found.error(at(name), "optimizer_argument_unknown", remedy=advice, name=shown(name))


def _check_values(optimizer: dict[str, Any], name: str, at: Any, found: Findings) -> None:
    for key in optimizer.keys() & _NUMBERS:
        if number(optimizer[key]) is None:
            found.error(at(key), "value_not_number")
    if isinstance(optimizer.get("eps"), str):
        found.error(at("eps"), "value_not_number")
    for key in optimizer.keys() & _CHOICES.keys() if name == "genericoptim" else ():
        if optimizer[key] not in _CHOICES[key]:
            found.error(at(key), "optimizer_choice_unknown", choices=", ".join(_CHOICES[key]))
    if name in ("adamw8bit", "adamw8bitkahan"):
        for key, (value, advice) in _REFUSED.items():
            if key in optimizer and optimizer[key] == value:
                found.error(at(key), "optimizer_8bit_rejects", remedy=advice)


def _check_combinations(optimizer: dict[str, Any], name: str, at: Any, found: Findings) -> None:
    """Report values that this optimizer rejects, alone or together with another key."""
    for key in _NOT_NEGATIVE.get(name, ()):
        if (value := number(optimizer.get(key))) is not None and value < 0:
            found.error(at(key), "optimizer_negative")
    if optimizer.get("foreach") and (name == "offload" or (name == "adamw" and optimizer.get("fused"))):
        found.error(at("foreach"), "foreach_with_fused")
    if name == "adamw" and optimizer.get("fused") and optimizer.get("differentiable"):
        found.error(at("differentiable"), "not_with_fused")
    muons = [key for key in _MUONS if optimizer.get(key)] if name == "genericoptim" else []
    if len(muons) > 1:
        found.error(at(muons[1]), "only_one_of", names=", ".join(_MUONS))
    if name == "genericoptim":
        _check_projection(optimizer, at, found)
    needs_momentum = name == "sgd" and optimizer.get("nesterov")
    if needs_momentum and (not optimizer.get("momentum") or optimizer.get("dampening")):
        found.error(at("nesterov"), "nesterov_needs_momentum")


def _check_projection(optimizer: dict[str, Any], at: Any, found: Findings) -> None:
    """Check the arguments with which genericoptim keeps its momentum in a subspace."""
    needed = {name for key, names in _PROJECTED.items() if key in optimizer for name in names}
    if optimizer.get("momentum_type") == "sm":
        needed |= {"rank", *_PROJECTED["rank"]}
    for name in sorted(needed - optimizer.keys()):
        advice = Reason.of("Set `{name}`.", "advice_set", name=name)
        found.error(at(name), "optimizer_argument_needed", remedy=advice, name=name)
    if "rank" in optimizer and optimizer.get("proj_type", "svd") not in _PROJECTIONS:
        found.error(at("proj_type"), "optimizer_choice_unknown", choices=", ".join(_PROJECTIONS))


def _check_rate(config: TrainerDocument, name: str, model_type: str | None, found: Findings) -> None:
    optimizer, at = config.table("optimizer"), partial(config.at, "optimizer")
    if "lr" in optimizer:
        rate = number(optimizer["lr"])
        if rate is None or rate < 0:
            found.error(at("lr"), "learning_rate_invalid")
        elif name.lower() == "automagic" and rate > _HIGHEST_AUTOMAGIC:
            found.warn(at("lr"), "automagic_learning_rate")
        elif rate == 0 and model_type not in _PASS_RATES_ON:
            found.warn(at("lr"), "learning_rate_zero")
        elif rate > _HIGHEST_RATE:
            found.warn(at("lr"), "learning_rate_huge", rate=f"{rate:g}")
        return
    is_passed_on = model_type in _PASS_RATES_ON and None in _group_rates(config, model_type)
    if (
        is_passed_on
        or name.lower() in _NEED_A_RATE
        or (optimizer.get("gradient_release") and model_type in _RELEASE_GRADIENTS)
    ):
        found.error(at("lr"), "learning_rate_needed")
    elif name.lower() not in _NEED_NO_RATE and not (
        model_type == "sdxl" and config.table("model").keys() >= _SDXL_RATES
    ):
        found.warn(at("lr"), "learning_rate_missing")


def _check_frozen(config: TrainerDocument, model_type: str | None, at: Any, found: Findings) -> None:
    """Check that a group of parameters is trained. The trainer removes groups with a learning rate of 0."""
    if model_type in _PASS_RATES_ON and all(number(rate) == 0 for rate in _group_rates(config, model_type)):
        found.error(at("lr"), "learning_rates_zero")


def _group_rates(config: TrainerDocument, model_type: str | None) -> list[Any]:
    """Return the learning rates of the groups of parameters; None for a group without one."""
    base = config.table("optimizer").get("lr")
    rates = [config.table("model").get(name, base) for name in _GROUPS]
    if model_type == "anima":
        rates.append(config.table("model").get("llm_adapter_lr", base))
    if "adapter" not in config.values:
        rates.append(base)
    return rates


def _check_betas(optimizer: dict[str, Any], name: str, at: Any, found: Findings) -> None:
    betas = optimizer.get("betas")
    if optimizer.get("beta2_half_life") and isinstance(betas, list) and len(betas) == 2:
        betas = [betas[0], 0.5]  # the second is computed
    if betas is not None and not _are_betas(betas, name):
        found.error(at("betas"), "betas_invalid")
        betas = [0.9, 0.99]
    if optimizer.get("beta2_half_life"):
        half_life = number(optimizer["beta2_half_life"])
        if half_life is None or half_life <= 0:
            found.error(at("beta2_half_life"), "half_life_invalid")
        if not isinstance(betas, list) or len(betas) != 2:
            found.error(at("betas"), "half_life_needs_betas")


def _are_betas(betas: Any, name: str) -> bool:
    if not isinstance(betas, list) or not betas:
        return False
    numbers = [number(value) for value in betas]
    if not all(beta is not None and 0 <= beta <= 1 for beta in numbers):
        return False
    if name not in OPTIMIZERS:
        return True
    # genericoptim accumulates with a second beta of 1.
    below_one = numbers[:1] if name == "genericoptim" else numbers
    is_long_enough = len(betas) == 2 if name in _TWO_BETAS else len(betas) >= 2
    return is_long_enough and 1 not in below_one


At = Callable[[str], str]

_CLASS_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,63}$")


#: Arguments that only Python code can pass.
_OBJECTS = ("model", "base_optimizer", "optimizer", "rho_scheduler")


def check_class(
    optimizer: dict[str, Any], name: str, classes: OptimizerClasses, own: tuple[str, ...], at: At, found: Findings
) -> None:
    """Check `type` and the arguments of a class of pytorch_optimizer; `own` are keys that the trainer removes."""
    if not _CLASS_NAME.fullmatch(name):
        found.error(at("type"), "optimizer_name_invalid", name=shown(name), optimizers=", ".join(OPTIMIZERS))
    elif classes.is_missing:
        _report_missing(name, classes, at("type"), found)
    elif name in classes.by_name:
        known = classes.by_name[name]
        if problem := _problem(known):
            found.error(at("type"), problem, name=name, object=_object_of(known))
            return
        _check_arguments(optimizer, known, own, classes.is_installed, at, found)
        _check_class_values(optimizer, known, at, found)
        if known.has_modes:
            found.warn(at("type"), "optimizer_averages", name=name)
    else:
        _check_unknown(name, classes, at("type"), found)


def _problem(known: OptimizerClass) -> str | None:
    """Return the code of the finding about a class that the trainer cannot use, or None."""
    if _object_of(known):
        return "optimizer_takes_object"
    if known.needs_closure:
        return "optimizer_needs_closure"
    if known.needs_groups:
        return "optimizer_needs_groups"
    return "optimizer_needs_graph" if known.needs_graph else None


def _object_of(known: OptimizerClass) -> str:
    return next((each for each in (known.first, *known.required) if each in _OBJECTS), "")


def _check_arguments(
    optimizer: dict[str, Any], known: OptimizerClass, own: tuple[str, ...], is_installed: bool, at: At, found: Findings
) -> None:
    for name in known.required:
        if name not in optimizer:
            advice = Reason.of("Set `{name}`.", "advice_set", name=name)
            if "iterations" in name:
                advice = Reason.of("Set it to the number of steps of the training.", "advice_set_steps")
            found.error(at(name), "optimizer_argument_needed", remedy=advice, name=name)
    for name in optimizer if known.arguments else ():
        if name in known.arguments or name in own:
            continue
        advice = advise_argument(name, known.arguments)
        if known.accepts_any or not is_installed:
            found.warn(at(name), "optimizer_argument_ignored", remedy=advice, name=shown(name))
        else:
            found.error(at(name), "optimizer_argument_rejected", remedy=advice, name=shown(name))


def _check_class_values(optimizer: dict[str, Any], known: OptimizerClass, at: At, found: Findings) -> None:
    betas = optimizer.get("betas")
    if known.betas is not None and isinstance(betas, list) and len(betas) != known.betas:
        example = [0.9, 0.99, 0.999][: known.betas]
        found.error(at("betas"), "betas_count", needed=known.betas, count=len(betas), example=example)
    for name in (*known.positive, *known.not_negative):
        value = number(optimizer.get(name))
        if value is None or name == "lr":
            continue
        if value < 0 or (value == 0 and name in known.positive):
            is_positive = name in known.positive
            found.error(at(name), "optimizer_number_not_positive" if is_positive else "optimizer_number_negative")
    for name, options in known.options.items():
        if name in optimizer and optimizer[name] not in options:
            found.error(at(name), "optimizer_option_unknown", options=", ".join(options))


def _report_missing(name: str, classes: OptimizerClasses, at: str, found: Findings) -> None:
    """Report a class of a package that the trainer's environment lacks."""
    advice = suggest(name, OPTIMIZERS)
    if name in classes.by_name:
        advice = Reason.of(
            "Install pytorch-optimizer there, or use another optimizer, for example adamw_optimi.",
            "advice_install_optimizers",
        )
    elif advice.said.code != "did_you_mean":
        advice = Reason.of("Use another optimizer, for example adamw_optimi.", "advice_other_optimizer")
    found.error(at, "optimizer_package_missing", remedy=advice, name=shown(name))


def _check_unknown(name: str, classes: OptimizerClasses, at: str, found: Findings) -> None:
    usable = [each for each, known in classes.by_name.items() if known.fits and not known.required]
    advice = suggest(name, (*OPTIMIZERS, *usable))
    is_suggestion = advice.said.code == "did_you_mean"
    if classes.is_installed:
        example = Reason.of("Set for example adamw_optimi; names are case-sensitive.", "advice_optimizer_example")
        found.error(at, "optimizer_unknown", remedy=advice if is_suggestion else example, name=shown(name))
        return
    is_slip = name[0].islower() or any(known.lower().startswith(name.lower()) for known in classes.by_name)
    check = Reason.of("Check that the class exists; names are case-sensitive.", "advice_optimizer_class")
    add = found.error if is_slip else found.warn
    add(at, "optimizer_not_built_in", remedy=advice if is_suggestion else check, name=shown(name))
