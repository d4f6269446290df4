"""Check an optimizer of pytorch_optimizer: whether the trainer can create it, and its arguments."""

import re
from collections.abc import Callable
from typing import Any

from api.domain.reason import Reason
from api.trainers.diffusion_pipe.document import number
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.key_check import advise_argument, suggest
from api.trainers.diffusion_pipe.keys import OPTIMIZERS
from api.trainers.diffusion_pipe.optimizer_classes import OptimizerClass, OptimizerClasses
from api.trainers.pointers import shown

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
        _check_values(optimizer, known, at, found)
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


def _check_values(optimizer: dict[str, Any], known: OptimizerClass, at: At, found: Findings) -> None:
    betas = optimizer.get("betas")
    if known.betas is not None and isinstance(betas, list) and len(betas) != known.betas:
        example = [0.9, 0.99, 0.999][: known.betas]
        found.error(at("betas"), "betas_count", betas=known.betas, betas_count=len(betas), example=example)
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
