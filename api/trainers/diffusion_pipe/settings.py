"""Every key with which a model type can be trained: what the checks hold values against, with words for people."""

from collections.abc import Iterable, Mapping

from api.domain.settings_view import ModelSettingsView, SettingTableView, SettingView
from api.trainers.diffusion_pipe import key_words as words
from api.trainers.diffusion_pipe.key_words import KeyGroup, KeyWords
from api.trainers.diffusion_pipe.keys import (
    ADAPTER,
    DATASET,
    DIRECTORY,
    KNOWN_CLASSES,
    MODEL,
    MODEL_COMMON,
    MONITORING,
    OPTIMIZERS,
    TOP,
    Key,
    KeyKind,
)
from api.trainers.diffusion_pipe.model_types import MODELS, ModelFacts

#: Keys that the service writes itself, and those that are tables of their own.
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
#: Arguments of classes whose kind depends on the class.
_ANY = frozenset({"args", "eps", "maximize"})


def describe_settings(model_type: str) -> ModelSettingsView:
    """The keys of a model type, by table. Raises KeyError."""
    facts = MODELS[model_type]
    top = {name: key for name, key in TOP.items() if name not in _NOT_SET | _TABLES and not _is_swap(name, facts)}
    tables = [
        _table("", "config", top, words.TOP_WORDS),
        _table("model", "config", _model_keys(facts), _model_words(facts), facts.required),
        _table("adapter", "config", _adapter_keys(facts), words.ADAPTER_WORDS),
        _table("optimizer", "config", _optimizer_keys(), words.OPTIMIZER_WORDS, is_open=True),
        _table("monitoring", "config", MONITORING, words.MONITORING_WORDS),
        _table("", "dataset", _without(DATASET, _TABLES), words.DATASET_WORDS),
        _table("directory", "dataset", DIRECTORY, words.DIRECTORY_WORDS),
    ]
    return ModelSettingsView(model_type, tuple(tables))


def _table(
    name: str,
    file: str,
    keys: Mapping[str, Key],
    told: Mapping[str, KeyWords],
    required: Iterable[str] = (),
    *,
    is_open: bool = False,
) -> SettingTableView:
    needed = (_REQUIRED.get(name, frozenset()) if name or file == "config" else frozenset()) | set(required)
    found = tuple(_setting(name, key_name, key, told[key_name], needed) for key_name, key in keys.items())
    return SettingTableView(name, file, is_open, found)


def _setting(table: str, name: str, key: Key, told: KeyWords, required: Iterable[str]) -> SettingView:
    options = tuple(key.choices) or told.options
    if table == "optimizer" and name == "type":
        options = (*OPTIMIZERS, *KNOWN_CLASSES)
    return SettingView(
        name=name,
        kind="value" if key.kind is KeyKind.OTHER else key.kind.name.lower(),
        group=told.group,
        help=told.help,
        default=told.default,
        least=key.least,
        above=key.above,
        most=key.most,
        options=options,
        is_open=not key.choices,
        is_required=name in required,
        is_common=told.is_common or name in required,
        is_path=told.group is KeyGroup.PATHS,
        only_for=_takers(name) if table == "optimizer" else None,
    )


def _takers(name: str) -> tuple[str, ...] | None:
    """The optimizers that take an argument, of those that are known; None: it is none of theirs."""
    takers = tuple(optimizer for optimizer, taken in OPTIMIZERS.items() if name in taken)
    return takers or None


def _without(keys: Mapping[str, Key], names: Iterable[str]) -> dict[str, Key]:
    left_out = frozenset(names)
    return {name: key for name, key in keys.items() if name not in left_out}


def _is_swap(name: str, facts: ModelFacts) -> bool:
    """Whether it is about swapping blocks, of a type that cannot."""
    return facts.swap is None and name in ("blocks_to_swap", "disable_block_swap_for_eval")


def _model_keys(facts: ModelFacts) -> dict[str, Key]:
    paths = {name: Key(KeyKind.TEXT) for name in facts.kinds}
    known = (MODEL_COMMON - facts.unread) | facts.keys | ({facts.dtype_key} if facts.dtype_key else set())
    return paths | {name: key for name, key in MODEL.items() if name in known}


def _model_words(facts: ModelFacts) -> dict[str, KeyWords]:
    paths = {
        name: KeyWords(KeyGroup.PATHS, words.PATH_WORDS[kind.value], is_common=True)
        for name, kind in facts.kinds.items()
    }
    return {**words.MODEL_WORDS, **paths}


def _adapter_keys(facts: ModelFacts) -> dict[str, Key]:
    if facts.lokr:
        return dict(ADAPTER)
    of_lokr = _without(ADAPTER, ("decompose_factor", "rank_dropout"))
    return of_lokr | {"type": Key(KeyKind.TEXT, choices=("lora",))}


def _optimizer_keys() -> dict[str, Key]:
    return {name: Key(_argument_kind(name)) for name in words.OPTIMIZER_WORDS}


def _argument_kind(name: str) -> KeyKind:
    if name in _ANY:
        return KeyKind.OTHER
    if name in _SWITCHES:
        return KeyKind.SWITCH
    if name in _TEXTS:
        return KeyKind.TEXT
    return KeyKind.LIST if name in _LISTS else KeyKind.NUMBER
