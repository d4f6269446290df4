"""Checks [optimizer]. All keys but three become arguments of the optimizer, so a wrong key fails after loading."""

import re
from functools import partial
from typing import Any

from api.trainers.diffusion_pipe.document import TrainerDocument, number
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.key_check import did_you_mean
from api.trainers.diffusion_pipe.keys import KNOWN_CLASSES, OPTIMIZERS
from api.trainers.pointers import shown

#: Keys of [optimizer] that the trainer removes before it creates the optimizer.
_OWN_KEYS = ("type", "gradient_release", "beta2_half_life")

#: Optimizers that determine their learning rate, and those that require one.
_NEED_NO_RATE = ("automagic", "genericoptim", "prodigy")
_NEED_A_RATE = ("adamw_optimi", "stableadamw")

#: Model types that pass the learning rate on to each group, even if it is missing.
_PASS_RATES_ON = ("cosmos_predict2", "anima")

#: Keys of the groups' learning rates, without the part outside of the blocks, which adapters do not train.
_GROUPS = ("self_attn_lr", "cross_attn_lr", "mlp_lr", "mod_lr")

#: The highest learning rate that automagic accepts.
_HIGHEST_AUTOMAGIC = 1e-3

#: The values that genericoptim accepts.
_CHOICES = {"momentum_type": ("ema", "sm", "none"), "second_moment_type": ("ema", "none", "sn", "factored")}

#: Model types whose parameter groups each have a learning rate, which gradient_release needs.
_RELEASE_GRADIENTS = ("sdxl", "cosmos_predict2", "anima")

#: Names that look like classes of pytorch_optimizer but are not, and a class that the trainer cannot create.
_NO_CLASSES = {
    "Sophia": "Use SophiaH.",
    "Muon": "It needs parameter groups that the trainer does not create: set type = 'genericoptim', muon = true.",
}

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
_REFUSED = {"amsgrad": (True, "Remove it."), "optim_bits": (8, "Remove it: the type implies it.")}

_CLASS_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,63}$")


def check_optimizer(config: TrainerDocument, model_type: str | None, found: Findings) -> None:
    """Check [optimizer]; the arguments of classes from pytorch_optimizer are mostly unknown."""
    if not isinstance(config.values.get("optimizer"), dict):
        return
    optimizer = config.table("optimizer")
    at = partial(config.at, "optimizer")
    name = optimizer.get("type")
    if not isinstance(name, str):
        message = "`type` is not a string." if "type" in optimizer else "`type` is missing."
        found.error(at("type"), message, "Set for example 'adamw_optimi'.")
        return
    known = OPTIMIZERS.get(name.lower())
    if known is None:
        _check_class(name, at("type"), found)
    _check_names(optimizer, known, at, found)
    _check_values(optimizer, name.lower(), at, found)
    _check_combinations(optimizer, name.lower(), at, found)
    _check_rate(optimizer, name, model_type, at, found)
    _check_betas(optimizer, name.lower(), at, found)
    _check_frozen(config, model_type, at, found)
    if optimizer.get("gradient_release") and model_type is not None and model_type not in _RELEASE_GRADIENTS:
        found.error(
            at("gradient_release"),
            f"It only works for {', '.join(_RELEASE_GRADIENTS)}; with {model_type} the trainer fails after loading.",
            "Remove it.",
        )


def _check_class(name: str, at: str, found: Findings) -> None:
    if not _CLASS_NAME.fullmatch(name):
        found.error(
            at,
            f"`{shown(name)}` is not the plain name of an optimizer.",
            "Use one of " + ", ".join(OPTIMIZERS) + ", or a class of pytorch_optimizer without dots.",
        )
    elif name in _NO_CLASSES:
        found.error(at, f"The trainer cannot create an optimizer `{name}`.", _NO_CLASSES[name])
    elif name not in KNOWN_CLASSES:
        _check_unknown_class(name, at, found)


def _check_unknown_class(name: str, at: str, found: Findings) -> None:
    advice = did_you_mean(name, (*OPTIMIZERS, *KNOWN_CLASSES))
    is_slip = name.lower() in {known.lower() for known in KNOWN_CLASSES} or name[0].islower()
    add = found.error if is_slip else found.warn
    add(
        at,
        f"`{shown(name)}` is not built into the trainer, which will look for this class in pytorch_optimizer.",
        advice if advice.startswith("Did") else "Check that the class exists; names are case-sensitive.",
    )


def _check_names(optimizer: dict[str, Any], known: frozenset[str] | None, at: Any, found: Findings) -> None:
    for name in optimizer:
        is_unknown = name in _NEVER if known is None else name not in known
        if name in _OWN_KEYS or not is_unknown:
            continue
        names = (*_OWN_KEYS, *sorted(known or ("lr", "betas", "weight_decay", "eps")))
        advice = "Use `lr`." if name == "learning_rate" else did_you_mean(name, names)
        found.error(
            at(name),
            f"The optimizer has no argument `{shown(name)}`: the trainer fails on it after caching and loading.",
            advice,
        )


def _check_values(optimizer: dict[str, Any], name: str, at: Any, found: Findings) -> None:
    for key in optimizer.keys() & _NUMBERS:
        if number(optimizer[key]) is None:
            found.error(at(key), "The value is not a number.", "Write a number without quotes.")
    if isinstance(optimizer.get("eps"), str):
        found.error(at("eps"), "The value is not a number.", "Write a number without quotes.")
    for key in optimizer.keys() & _CHOICES.keys() if name == "genericoptim" else ():
        if optimizer[key] not in _CHOICES[key]:
            found.error(
                at(key), "The optimizer does not have this kind.", "Set one of " + ", ".join(_CHOICES[key]) + "."
            )
    if name in ("adamw8bit", "adamw8bitkahan"):
        for key, (value, advice) in _REFUSED.items():
            if key in optimizer and optimizer[key] == value:
                found.error(at(key), "The 8-bit optimizer rejects this value.", advice)


def _check_combinations(optimizer: dict[str, Any], name: str, at: Any, found: Findings) -> None:
    """Report values that this optimizer rejects, alone or together with another key."""
    for key in _NOT_NEGATIVE.get(name, ()):
        if (value := number(optimizer.get(key))) is not None and value < 0:
            found.error(at(key), "The optimizer rejects values below 0.", "Set 0 or more.")
    muons = [key for key in _MUONS if optimizer.get(key)] if name == "genericoptim" else []
    if len(muons) > 1:
        found.error(at(muons[1]), f"The optimizer accepts only one of {', '.join(_MUONS)}.", "Remove the others.")
    needs_momentum = name == "sgd" and optimizer.get("nesterov")
    if needs_momentum and (not optimizer.get("momentum") or optimizer.get("dampening")):
        found.error(at("nesterov"), "`nesterov` needs a momentum and no dampening.", "Set for example momentum = 0.9.")


def _check_rate(optimizer: dict[str, Any], name: str, model_type: str | None, at: Any, found: Findings) -> None:
    if "lr" in optimizer:
        rate = number(optimizer["lr"])
        if rate is None or rate < 0:
            found.error(at("lr"), "This is not a learning rate.", "Set 0 or more, for example 2e-5.")
        elif name.lower() == "automagic" and rate > _HIGHEST_AUTOMAGIC:
            found.warn(at("lr"), "automagic treats this as a mistake and starts with 1e-6.", "Set 1e-6, or remove it.")
        return
    is_passed_on = model_type in _PASS_RATES_ON and name.lower() != "automagic"
    if (
        is_passed_on
        or name.lower() in _NEED_A_RATE
        or (optimizer.get("gradient_release") and model_type in _RELEASE_GRADIENTS)
    ):
        found.error(at("lr"), "No learning rate is set, and the optimizer needs one.", "Set `lr`.")
    elif name.lower() not in _NEED_NO_RATE:
        found.warn(at("lr"), "No learning rate is set.", "Set `lr`.")


def _check_frozen(config: TrainerDocument, model_type: str | None, at: Any, found: Findings) -> None:
    """Check that a group of parameters is trained; groups with a rate of 0 are removed."""
    if model_type not in _PASS_RATES_ON:
        return
    base = config.table("optimizer").get("lr")
    rates = [config.table("model").get(name, base) for name in _GROUPS]
    if model_type == "anima":
        rates.append(config.table("model").get("llm_adapter_lr", base))
    if "adapter" not in config.values:
        rates.append(base)
    if all(number(rate) == 0 for rate in rates):
        found.error(at("lr"), "All learning rates are 0, so there is nothing to train.", "Set `lr`.")


def _check_betas(optimizer: dict[str, Any], name: str, at: Any, found: Findings) -> None:
    betas = optimizer.get("betas")
    if optimizer.get("beta2_half_life") and isinstance(betas, list) and len(betas) == 2:
        betas = [betas[0], 0.5]  # the second is computed
    if betas is not None and not _are_betas(betas, name):
        found.error(
            at("betas"), "The value is not a pair of betas.", "Set two numbers from 0 to below 1, such as [0.9, 0.99]."
        )
        betas = [0.9, 0.99]
    if optimizer.get("beta2_half_life"):
        half_life = number(optimizer["beta2_half_life"])
        if half_life is None or half_life <= 0:
            found.error(at("beta2_half_life"), "The value is not a number above 0.", "Set the number of examples.")
        if not isinstance(betas, list) or len(betas) != 2:
            found.error(at("betas"), "`beta2_half_life` needs two `betas`.", "Set betas = [0.9, 0.99].")


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
