"""Models in answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.domain.catalog import Medium, Origin
from api.domain.measured_memory import PlannedMemory
from api.domain.weights import FileForm, Quantisation
from api.training.views import FindingView


@dataclass(frozen=True, slots=True)
class SourceView:
    """A file or directory of a repository on Hugging Face. `origin` is the source of the size."""

    repository: str
    path: str
    size_gb: float | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class ComponentView:
    """A path of [model]. `present` means complete on this machine; `problem` says why a local file is not usable."""

    name: str
    key: str
    present: bool
    path: str | None
    size: int | None  #: bytes
    problem: str | None
    repository: str | None
    files: tuple[SourceView, ...]
    gated: bool | None
    license: str | None
    is_pickle: bool  #: published as a pickle, which needs ALLOW_PICKLED_WEIGHTS


@dataclass(frozen=True, slots=True)
class VariantView:
    """One of the models of a model type."""

    id: str
    name: str
    note: str | None
    components: tuple[ComponentView, ...]
    ready: bool  #: all components are present
    model: Mapping[str, Any]  #: the table [model] that loads it, with the paths of local or future files


@dataclass(frozen=True, slots=True)
class PresetSummary:
    """A preset without its request."""

    name: str
    variant: str
    title: str
    memory_gb: int  #: the tier
    known_memory_gb: float | None
    source: str


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model type. `components` and `ready` are those of the first ready variant, else of the first variant."""

    id: str
    name: str
    type: Medium
    supports_lora: bool
    supports_full_finetune: bool
    supports_fp8: bool
    supports_block_swap: bool
    max_blocks_to_swap: int | None
    min_vram_gb: float | None
    recommended_vram_gb: float | None
    vram_note: str
    vram_source: Origin
    config_path: str | None
    components: tuple[ComponentView, ...]
    ready: bool
    variants: tuple[VariantView, ...]
    presets: tuple[PresetSummary, ...]
    requirements: tuple[str, ...]  #: additional requirements of the trainer's environment


@dataclass(frozen=True, slots=True)
class PresetView:
    """A ready request for `/training/start`, and the two configuration files that it becomes."""

    name: str
    model_id: str
    variant: str
    title: str
    memory_gb: int
    known_memory_gb: float | None
    memory: PlannedMemory | None  #: use of comparable trainings here; null if there were none
    source: str
    request: Mapping[str, Any]
    config_toml: str
    dataset_toml: str
    missing: tuple[str, ...]  #: keys of [model] whose files are missing; their paths are those of a download
    needs_dataset: bool  #: the request has no data yet: set `dataset`, or fill in the directory


@dataclass(frozen=True, slots=True)
class SlotView:
    """A slot of a model where a file belongs."""

    model_id: str
    key: str


@dataclass(frozen=True, slots=True)
class AdapterView:
    """The facts of an adapter."""

    kind: str
    rank: int | None
    keys: str
    model_id: str | None
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WeightsView:
    """The facts of a weight file or directory. `problem` completes a sentence that starts with "It"."""

    path: str
    name: str
    size_bytes: int
    form: FileForm
    is_whole: bool | None
    problem: str | None
    component: str | None  #: the recognised component
    title: str | None
    kind: str | None
    places: tuple[SlotView, ...]
    source: str | None  #: the source of the fingerprint that recognised it
    adapter: AdapterView | None
    dtype: str | None
    quantisation: Quantisation | None
    parameters: int | None
    tensors: int | None
    metadata: Mapping[str, str] = field(default_factory=dict)
    missing_files: tuple[str, ...] = ()  #: of a model in several files; at most a hundred
    fits: bool | None = None  #: whether it belongs in the requested slot; None if not requested or not recognised
    belongs: tuple[str, ...] = ()  #: the components that belong in the slot
    errors: tuple[FindingView, ...] = ()  #: findings of `/training/validate` for the path; empty for an upload
    warnings: tuple[FindingView, ...] = ()
