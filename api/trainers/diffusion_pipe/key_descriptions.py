"""Describe all keys of a model type for users: permitted values and help."""

from collections.abc import Iterable, Mapping

from api.domain.models.settings_view import ModelSettingsView, SettingTableView, SettingView
from api.trainers.diffusion_pipe.config.key_help import (
    ADAPTER_HELP,
    DATASET_HELP,
    DIRECTORY_HELP,
    MODEL_HELP,
    MONITORING_HELP,
    OPTIMIZER_HELP,
    PATH_HELP,
    TOP_HELP,
    KeyGroup,
    KeyHelp,
)
from api.trainers.diffusion_pipe.config.keys import (
    ADAPTER,
    DATASET,
    DIRECTORY,
    MODEL,
    MODEL_COMMON,
    MONITORING,
    OPTIMIZERS,
    TOP,
    Key,
    KeyKind,
)
from api.trainers.diffusion_pipe.config.optimizer_classes import find_classes
from api.trainers.diffusion_pipe.models.description import ModelFacts
from api.trainers.diffusion_pipe.models.registry import MODELS

#: Keys that the service sets, and keys that are tables.
_NOT_SET = frozenset({"output_dir", "dataset", "resume_from_checkpoint", "lora"})
_TABLES = frozenset({"model", "adapter", "optimizer", "monitoring", "directory"})

_REQUIRED = {
    "": frozenset({"epochs"}),
    "model": frozenset({"type", "dtype"}),
    "adapter": frozenset({"type", "rank"}),
    "optimizer": frozenset({"type"}),
    "directory": frozenset({"path"}),
}
_SWITCHES = frozenset(
    {
        "gradient_release",
        "nesterov",
        "amsgrad",
        "capturable",
        "maximize",
        "foreach",
        "differentiable",
        "fused",
        "block_wise",
        "is_paged",
        "stabilize",
        "decouple_lr",
        "kahan_sum",
        "triton",
        "offload_gradients",
        "do_paramiter_swapping",
        "correct_bias",
        "correct_dim",
        "cpu_offload",
        "kahan_buffer_offload",
        "muon",
        "adamuon",
        "normuon",
        "polar_express",
        "compile",
        "automagic",
        "skip_invalid_grads",
    }
)
_TEXTS = frozenset({"type", "momentum_type", "second_moment_type", "proj_type"})
_LISTS = frozenset({"betas"})
#: Arguments whose type depends on the optimizer class.
_ANY = frozenset({"args", "eps", "maximize"})


def describe_settings(model_type: str) -> ModelSettingsView:
    """Return the keys of a model type, by table. Raise KeyError for an unknown type."""
    facts = MODELS[model_type]
    top = {name: key for name, key in TOP.items() if name not in _NOT_SET | _TABLES and not _is_swap(name, facts)}
    tables = [
        _table("", "config", top, TOP_HELP),
        _table("model", "config", _model_keys(facts), _model_terms(facts), facts.required),
        _table("adapter", "config", _adapter_keys(facts), ADAPTER_HELP),
        _table("optimizer", "config", _optimizer_keys(), OPTIMIZER_HELP, is_open=True),
        _table("monitoring", "config", MONITORING, MONITORING_HELP),
        _table("", "dataset", _without(DATASET, _TABLES), DATASET_HELP),
        _table("directory", "dataset", DIRECTORY, DIRECTORY_HELP),
    ]
    return ModelSettingsView(model_type, tuple(tables))


def _table(
    name: str,
    file: str,
    keys: Mapping[str, Key],
    help_texts: Mapping[str, KeyHelp],
    required: Iterable[str] = (),
    *,
    is_open: bool = False,
) -> SettingTableView:
    needed = (_REQUIRED.get(name, frozenset()) if name or file == "config" else frozenset()) | set(required)
    found = tuple(_setting(name, key_name, key, help_texts[key_name], needed) for key_name, key in keys.items())
    return SettingTableView(name, file, is_open, found)


def _setting(table: str, name: str, key: Key, text: KeyHelp, required: Iterable[str]) -> SettingView:
    options = tuple(key.choices) or text.options
    if table == "optimizer" and name == "type":
        classes = find_classes(None).by_name
        options = (*OPTIMIZERS, *(each for each, known in classes.items() if known.fits and not known.required))
    return SettingView(
        name=name,
        kind="value" if key.kind is KeyKind.OTHER else key.kind.name.lower(),
        group=text.group,
        help=text.help,
        default=text.default,
        least=key.least,
        above=key.above,
        most=key.most,
        options=options,
        is_open=not key.choices,
        is_required=name in required,
        is_common=text.is_common or name in required,
        is_path=text.group is KeyGroup.PATHS,
        only_for=_optimizers_with(name) if table == "optimizer" else None,
    )


def _optimizers_with(name: str) -> tuple[str, ...] | None:
    """Return the known optimizers that accept an argument, or None if there are none."""
    takers = tuple(optimizer for optimizer, taken in OPTIMIZERS.items() if name in taken)
    return takers or None


def _without(keys: Mapping[str, Key], names: Iterable[str]) -> dict[str, Key]:
    left_out = frozenset(names)
    return {name: key for name, key in keys.items() if name not in left_out}


def _is_swap(name: str, facts: ModelFacts) -> bool:
    """Return whether a key concerns block swapping, for a type that does not support it."""
    return facts.swap is None and name in ("blocks_to_swap", "disable_block_swap_for_eval")


def _model_keys(facts: ModelFacts) -> dict[str, Key]:
    paths = {name: Key(KeyKind.TEXT) for name in facts.kinds}
    known = (MODEL_COMMON - facts.unread) | facts.keys | ({facts.dtype_key} if facts.dtype_key else set())
    return paths | {name: key for name, key in MODEL.items() if name in known}


def _model_terms(facts: ModelFacts) -> dict[str, KeyHelp]:
    paths = {name: KeyHelp(KeyGroup.PATHS, PATH_HELP[kind.value], is_common=True) for name, kind in facts.kinds.items()}
    return {**MODEL_HELP, **paths}


def _adapter_keys(facts: ModelFacts) -> dict[str, Key]:
    if facts.lokr:
        return dict(ADAPTER)
    of_lokr = _without(ADAPTER, ("decompose_factor", "rank_dropout"))
    return of_lokr | {"type": Key(KeyKind.TEXT, choices=("lora",))}


def _optimizer_keys() -> dict[str, Key]:
    return {name: Key(_argument_kind(name)) for name in OPTIMIZER_HELP}


def _argument_kind(name: str) -> KeyKind:
    if name in _ANY:
        return KeyKind.OTHER
    if name in _SWITCHES:
        return KeyKind.SWITCH
    if name in _TEXTS:
        return KeyKind.TEXT
    return KeyKind.LIST if name in _LISTS else KeyKind.NUMBER
