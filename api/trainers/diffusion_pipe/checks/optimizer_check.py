"""Check [optimizer]. All keys but three become arguments of the optimizer, so a wrong key fails after loading."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from api.domain.finding import shown
from api.domain.reason import Reason
from api.errors import FindingText
from api.trainers.diffusion_pipe.config.document import TrainerDocument, number
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.key_check import advise_argument, suggest
from api.trainers.diffusion_pipe.config.keys import OPTIMIZERS
from api.trainers.diffusion_pipe.config.optimizer_classes import OptimizerClass, OptimizerClasses, find_classes
from api.trainers.diffusion_pipe.models.registry import MODELS

_VALUE_NOT_NUMBER = FindingText("value_not_number", "The value is not a number.", "Write a number without quotes.")

_OPTIMIZER_ARGUMENT_NEEDED = FindingText(
    "optimizer_argument_needed", "The optimizer needs `{name}`, and the trainer fails without it."
)

_OPTIMIZER_CHOICE_UNKNOWN = FindingText(
    "optimizer_choice_unknown", "The optimizer does not have this kind.", "Set one of {choices}."
)

#: Keys of [optimizer] that the trainer removes before it creates the optimizer.
_OWN_KEYS = ("type", "gradient_release", "beta2_half_life")

#: Optimizers that determine their learning rate, and those that require one.
_NEED_NO_RATE = ("automagic", "genericoptim", "prodigy")
_NEED_A_RATE = ("adamw_optimi", "stableadamw")

#: Model types that pass the learning rate on to each group, even if it is missing.
_PASS_RATES_ON = tuple(name for name, facts in MODELS.items() if facts.passes_rates_on)

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
_RELEASE_GRADIENTS = tuple(name for name, facts in MODELS.items() if facts.has_group_rates)

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
        found.error(
            at("type"),
            FindingText("optimizer_type_not_string", "`type` is not a string.", "Set for example 'adamw_optimi'.")
            if "type" in optimizer
            else FindingText("optimizer_type_missing", "`type` is missing.", "Set for example 'adamw_optimi'."),
        )
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
            FindingText(
                "gradient_release_model",
                "It only works for {optimizers}; with {model_type} the trainer fails after loading.",
                "Remove it.",
            ),
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
        found.error(
            at(name),
            FindingText(
                "optimizer_argument_unknown",
                "The optimizer has no argument `{name}`: the trainer fails on it after caching and loading.",
            ),
            remedy=advice,
            name=shown(name),
        )


def _check_values(optimizer: dict[str, Any], name: str, at: Any, found: Findings) -> None:
    for key in optimizer.keys() & _NUMBERS:
        if number(optimizer[key]) is None:
            found.error(at(key), _VALUE_NOT_NUMBER)
    if isinstance(optimizer.get("eps"), str):
        found.error(at("eps"), _VALUE_NOT_NUMBER)
    for key in optimizer.keys() & _CHOICES.keys() if name == "genericoptim" else ():
        if optimizer[key] not in _CHOICES[key]:
            found.error(at(key), _OPTIMIZER_CHOICE_UNKNOWN, choices=", ".join(_CHOICES[key]))
    if name in ("adamw8bit", "adamw8bitkahan"):
        for key, (value, advice) in _REFUSED.items():
            if key in optimizer and optimizer[key] == value:
                found.error(
                    at(key),
                    FindingText("optimizer_8bit_rejects", "The 8-bit optimizer rejects this value."),
                    remedy=advice,
                )


def _check_combinations(optimizer: dict[str, Any], name: str, at: Any, found: Findings) -> None:
    """Report values that this optimizer rejects, alone or together with another key."""
    for key in _NOT_NEGATIVE.get(name, ()):
        if (value := number(optimizer.get(key))) is not None and value < 0:
            found.error(
                at(key), FindingText("optimizer_negative", "The optimizer rejects values below 0.", "Set 0 or more.")
            )
    if optimizer.get("foreach") and (name == "offload" or (name == "adamw" and optimizer.get("fused"))):
        found.error(
            at("foreach"),
            FindingText(
                "foreach_with_fused", "The optimizer rejects `foreach` together with `fused`.", "Remove `foreach`."
            ),
        )
    if name == "adamw" and optimizer.get("fused") and optimizer.get("differentiable"):
        found.error(
            at("differentiable"),
            FindingText("not_with_fused", "The optimizer rejects it together with `fused`.", "Remove one of them."),
        )
    muons = [key for key in _MUONS if optimizer.get(key)] if name == "genericoptim" else []
    if len(muons) > 1:
        found.error(
            at(muons[1]),
            FindingText("only_one_of", "The optimizer accepts only one of {names}.", "Remove the others."),
            names=", ".join(_MUONS),
        )
    if name == "genericoptim":
        _check_projection(optimizer, at, found)
    needs_momentum = name == "sgd" and optimizer.get("nesterov")
    if needs_momentum and (not optimizer.get("momentum") or optimizer.get("dampening")):
        found.error(
            at("nesterov"),
            FindingText(
                "nesterov_needs_momentum",
                "`nesterov` needs a momentum and no dampening.",
                "Set for example momentum = 0.9.",
            ),
        )


def _check_projection(optimizer: dict[str, Any], at: Any, found: Findings) -> None:
    """Check the arguments with which genericoptim keeps its momentum in a subspace."""
    needed = {name for key, names in _PROJECTED.items() if key in optimizer for name in names}
    if optimizer.get("momentum_type") == "sm":
        needed |= {"rank", *_PROJECTED["rank"]}
    for name in sorted(needed - optimizer.keys()):
        advice = Reason.of("Set `{name}`.", "advice_set", name=name)
        found.error(at(name), _OPTIMIZER_ARGUMENT_NEEDED, remedy=advice, name=name)
    if "rank" in optimizer and optimizer.get("proj_type", "svd") not in _PROJECTIONS:
        found.error(at("proj_type"), _OPTIMIZER_CHOICE_UNKNOWN, choices=", ".join(_PROJECTIONS))


def _check_rate(config: TrainerDocument, name: str, model_type: str | None, found: Findings) -> None:
    optimizer, at = config.table("optimizer"), partial(config.at, "optimizer")
    if "lr" in optimizer:
        rate = number(optimizer["lr"])
        if rate is None or rate < 0:
            found.error(
                at("lr"),
                FindingText(
                    "learning_rate_invalid", "This is not a learning rate.", "Set 0 or more, for example 2e-5."
                ),
            )
        elif name.lower() == "automagic" and rate > _HIGHEST_AUTOMAGIC:
            found.warn(
                at("lr"),
                FindingText(
                    "automagic_learning_rate",
                    "automagic treats this as a mistake and starts with 1e-6.",
                    "Set 1e-6, or remove it.",
                ),
            )
        elif rate == 0 and model_type not in _PASS_RATES_ON:
            found.warn(
                at("lr"),
                FindingText(
                    "learning_rate_zero", "With a learning rate of 0 nothing is learned.", "Set for example 2e-5."
                ),
            )
        elif rate > _HIGHEST_RATE:
            found.warn(
                at("lr"),
                FindingText(
                    "learning_rate_huge",
                    "A learning rate of {rate} destroys the model; a minus in the exponent may be missing.",
                    "Set for example 2e-5.",
                ),
                rate=f"{rate:g}",
            )
        return
    is_passed_on = model_type in _PASS_RATES_ON and None in _group_rates(config, model_type)
    if (
        is_passed_on
        or name.lower() in _NEED_A_RATE
        or (optimizer.get("gradient_release") and model_type in _RELEASE_GRADIENTS)
    ):
        found.error(
            at("lr"),
            FindingText("learning_rate_needed", "No learning rate is set, and the optimizer needs one.", "Set `lr`."),
        )
    elif name.lower() not in _NEED_NO_RATE and not (
        model_type == "sdxl" and config.table("model").keys() >= _SDXL_RATES
    ):
        found.warn(at("lr"), FindingText("learning_rate_missing", "No learning rate is set.", "Set `lr`."))


def _check_frozen(config: TrainerDocument, model_type: str | None, at: Any, found: Findings) -> None:
    """Check that a group of parameters is trained. The trainer removes groups with a learning rate of 0."""
    if model_type in _PASS_RATES_ON and all(number(rate) == 0 for rate in _group_rates(config, model_type)):
        found.error(
            at("lr"),
            FindingText("learning_rates_zero", "All learning rates are 0, so there is nothing to train.", "Set `lr`."),
        )


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
        found.error(
            at("betas"),
            FindingText(
                "betas_invalid",
                "The value is not a pair of betas.",
                "Set two numbers from 0 to below 1, such as [0.9, 0.99].",
            ),
        )
        betas = [0.9, 0.99]
    if optimizer.get("beta2_half_life"):
        half_life = number(optimizer["beta2_half_life"])
        if half_life is None or half_life <= 0:
            found.error(
                at("beta2_half_life"),
                FindingText("half_life_invalid", "The value is not a number above 0.", "Set the number of examples."),
            )
        if not isinstance(betas, list) or len(betas) != 2:
            found.error(
                at("betas"),
                FindingText(
                    "half_life_needs_betas", "`beta2_half_life` needs two `betas`.", "Set betas = [0.9, 0.99]."
                ),
            )


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
        found.error(
            at("type"),
            FindingText(
                "optimizer_name_invalid",
                "`{name}` is not the plain name of an optimizer.",
                "Use one of {optimizers}, or a class of pytorch_optimizer without dots.",
            ),
            name=shown(name),
            optimizers=", ".join(OPTIMIZERS),
        )
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
            found.warn(
                at("type"),
                FindingText(
                    "optimizer_averages",
                    "{name} averages weights, but the trainer never switches to the averages before it saves a model.",
                    "Use another optimizer, for example adamw_optimi.",
                ),
                name=name,
            )
    else:
        _check_unknown(name, classes, at("type"), found)


def _problem(known: OptimizerClass) -> FindingText | None:
    """Return the text of the finding about a class that the trainer cannot use, or None."""
    if _object_of(known):
        return FindingText(
            "optimizer_takes_object",
            "{name} takes `{object}`, but the trainer passes a list of parameters, and it fails after loading.",
            "Use another optimizer, for example adamw_optimi.",
        )
    if known.needs_closure:
        return FindingText(
            "optimizer_needs_closure",
            "{name} computes the loss several times in a step, which the trainer does not support.",
            "Use another optimizer, for example adamw_optimi.",
        )
    if known.needs_groups:
        return FindingText(
            "optimizer_needs_groups",
            "{name} needs groups of parameters that the trainer does not create.",
            "Set type = 'genericoptim' and muon = true.",
        )
    if known.needs_graph:
        return FindingText(
            "optimizer_needs_graph",
            "{name} needs second derivatives, which the trainer does not compute.",
            "Use another optimizer, for example adamw_optimi.",
        )
    return None


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
            found.error(at(name), _OPTIMIZER_ARGUMENT_NEEDED, remedy=advice, name=name)
    for name in optimizer if known.arguments else ():
        if name in known.arguments or name in own:
            continue
        advice = advise_argument(name, known.arguments)
        if known.accepts_any or not is_installed:
            found.warn(
                at(name),
                FindingText("optimizer_argument_ignored", "The optimizer has no argument `{name}` and ignores it."),
                remedy=advice,
                name=shown(name),
            )
        else:
            found.error(
                at(name),
                FindingText(
                    "optimizer_argument_rejected", "The optimizer has no argument `{name}`, and the trainer fails."
                ),
                remedy=advice,
                name=shown(name),
            )


def _check_class_values(optimizer: dict[str, Any], known: OptimizerClass, at: At, found: Findings) -> None:
    betas = optimizer.get("betas")
    if known.betas is not None and isinstance(betas, list) and len(betas) != known.betas:
        example = [0.9, 0.99, 0.999][: known.betas]
        found.error(
            at("betas"),
            FindingText(
                "betas_count",
                "The optimizer needs {needed} betas, but the list has {count}.",
                "Set {needed} numbers, such as {example}, or remove the key to use its defaults.",
            ),
            needed=known.betas,
            count=len(betas),
            example=example,
        )
    for name in (*known.positive, *known.not_negative):
        value = number(optimizer.get(name))
        if value is None or name == "lr":
            continue
        if value < 0 or (value == 0 and name in known.positive):
            is_positive = name in known.positive
            found.error(
                at(name),
                FindingText(
                    "optimizer_number_not_positive", "The optimizer rejects this number.", "Set a number above 0."
                )
                if is_positive
                else FindingText(
                    "optimizer_number_negative", "The optimizer rejects this number.", "Set a number of 0 or more."
                ),
            )
    for name, options in known.options.items():
        if name in optimizer and optimizer[name] not in options:
            found.error(
                at(name),
                FindingText(
                    "optimizer_option_unknown", "The optimizer does not have this option.", "Set one of {options}."
                ),
                options=", ".join(options),
            )


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
    found.error(
        at,
        FindingText(
            "optimizer_package_missing",
            (
                "`{name}` is not built into the trainer, and its environment lacks pytorch_optimizer, where "
                "the trainer looks for other optimizers."
            ),
        ),
        remedy=advice,
        name=shown(name),
    )


def _check_unknown(name: str, classes: OptimizerClasses, at: str, found: Findings) -> None:
    usable = [each for each, known in classes.by_name.items() if known.fits and not known.required]
    advice = suggest(name, (*OPTIMIZERS, *usable))
    is_suggestion = advice.said.code == "did_you_mean"
    if classes.is_installed:
        example = Reason.of("Set for example adamw_optimi; names are case-sensitive.", "advice_optimizer_example")
        found.error(
            at,
            FindingText(
                "optimizer_unknown",
                "Neither the trainer nor the installed pytorch_optimizer has an optimizer `{name}`.",
            ),
            remedy=advice if is_suggestion else example,
            name=shown(name),
        )
        return
    is_slip = name[0].islower() or any(known.lower().startswith(name.lower()) for known in classes.by_name)
    check = Reason.of("Check that the class exists; names are case-sensitive.", "advice_optimizer_class")
    add = found.error if is_slip else found.warn
    add(
        at,
        FindingText(
            "optimizer_not_built_in",
            "`{name}` is not built into the trainer, which will look for this class in pytorch_optimizer.",
        ),
        remedy=advice if is_suggestion else check,
        name=shown(name),
    )
