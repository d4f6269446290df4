"""Models in answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.domain.models.base_model import Medium, Origin
from api.domain.models.weights import FileForm, Quantisation
from api.domain.tasks.measured_memory import PlannedMemory
from api.training.views import FindingView


@dataclass(frozen=True, slots=True)
class SourceView:
    """A file or directory of a repository on Hugging Face. `origin` is the source of the size."""

    repository: str  #: owner/name on the hub
    path: str  #: path in the repository
    size_gb: float | None  #: null if unknown
    origin: Origin  #: where the size comes from


@dataclass(frozen=True, slots=True)
class ComponentView:
    """A path of [model]. `present` means complete on this machine; `problem` says why a local file is not usable."""

    name: str
    key: str  #: key in the table [model]
    present: bool  #: whether it is complete on this machine
    path: str | None  #: where it is; null if it is missing
    size: int | None  #: bytes
    problem: str | None  #: why a local file cannot be used; null if it can
    repository: str | None  #: where it can be downloaded; null: by hand only
    files: tuple[SourceView, ...]  #: what a download fetches
    gated: bool | None  #: whether the hub asks for a token; null if unknown
    license: str | None  #: as the hub states it; null if unknown
    is_pickle: bool  #: published as a pickle, which needs ALLOW_PICKLED_WEIGHTS


@dataclass(frozen=True, slots=True)
class VariantView:
    """One of the models of a model type."""

    id: str  #: value for `variant`
    name: str
    note: str | None  #: what distinguishes it; null if nothing
    components: tuple[ComponentView, ...]  #: paths that it needs
    ready: bool  #: all components are present
    model: Mapping[str, Any]  #: the table [model] that loads it, with the paths of local or future files


@dataclass(frozen=True, slots=True)
class PresetSummary:
    """A preset without its request."""

    name: str
    variant: str  #: variant of the model type
    title: str  #: what it is for
    memory_gb: int  #: the tier
    known_memory_gb: float | None  #: memory that its source measured; null if none
    source: str  #: where the settings come from


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model type. `components` and `ready` are those of the first ready variant, else of the first variant."""

    id: str  #: value for `model_type`
    name: str
    type: Medium  #: what it makes
    supports_lora: bool  #: whether the trainer can train a LoRA of it
    supports_full_finetune: bool  #: whether the trainer can train all its weights
    supports_fp8: bool  #: whether its weights can be kept in float8
    supports_block_swap: bool  #: whether blocks can be moved to the host's memory
    max_blocks_to_swap: int | None  #: null if none, or unknown
    min_vram_gb: float | None  #: GB of GPU memory that a LoRA needs at least; null if unknown
    recommended_vram_gb: float | None  #: GB of GPU memory that suits a LoRA well; null if unknown
    vram_note: str  #: conditions of these figures
    vram_source: Origin  #: where these figures come from
    config_path: str | None  #: example configuration in the trainer's checkout; null if none
    components: tuple[ComponentView, ...]  #: paths that it needs
    ready: bool  #: whether all components are present
    variants: tuple[VariantView, ...]  #: the models of this type
    presets: tuple[PresetSummary, ...]  #: ready requests by GPU memory
    requirements: tuple[str, ...]  #: additional requirements of the trainer's environment


@dataclass(frozen=True, slots=True)
class PresetView:
    """A ready request for `/training/start`, and the two configuration files that it becomes."""

    name: str
    model_id: str
    variant: str  #: variant of the model type
    title: str  #: what it is for
    memory_gb: int  #: GPU memory that it is made for
    known_memory_gb: float | None  #: memory that its source measured; null if none
    memory: PlannedMemory | None  #: use of comparable trainings here; null if there were none
    source: str  #: where the settings come from
    request: Mapping[str, Any]  #: ready for a start, apart from what `missing` names
    config_toml: str  #: the trainer's configuration that it becomes
    dataset_toml: str  #: the trainer's dataset file that it becomes
    missing: tuple[str, ...]  #: keys of [model] whose files are missing; their paths are those of a download
    needs_dataset: bool  #: the request has no data yet: set `dataset`, or fill in the directory


@dataclass(frozen=True, slots=True)
class SlotView:
    """A slot of a model where a file belongs."""

    model_id: str
    key: str  #: key in the table [model]


@dataclass(frozen=True, slots=True)
class AdapterView:
    """The facts of an adapter."""

    kind: str  #: such as LoRA
    rank: int | None  #: null if it has none, or unknown
    keys: str  #: form of its tensor names
    model_id: str | None
    readers: tuple[str, ...]  #: programs that read this form


@dataclass(frozen=True, slots=True)
class WeightsView:
    """The facts of a weight file or directory. `problem` completes a sentence that starts with "It"."""

    path: str  #: the examined path
    name: str
    size_bytes: int
    form: FileForm  #: file format, or a directory
    is_whole: bool | None  #: whether it is complete; null if unknown
    problem: str | None  #: why it cannot be used; null if it can
    component: str | None  #: the recognised component
    title: str | None  #: what it is, for people; null if not recognised
    kind: str | None  #: what it is, such as an adapter; null if not recognised
    places: tuple[SlotView, ...]  #: slots in which it fits
    source: str | None  #: the source of the fingerprint that recognised it
    adapter: AdapterView | None  #: facts of an adapter; null for other files
    dtype: str | None  #: data type with the most bytes; null if unknown
    quantisation: Quantisation | None  #: null: not quantised
    parameters: int | None  #: number of all values; null if unknown
    tensors: int | None  #: number of tensors; null if unknown
    metadata: Mapping[str, str] = field(default_factory=dict)  #: texts in the file's header
    missing_files: tuple[str, ...] = ()  #: of a model in several files; at most a hundred
    fits: bool | None = None  #: whether it belongs in the requested slot; None if not requested or not recognised
    belongs: tuple[str, ...] = ()  #: the components that belong in the slot
    errors: tuple[FindingView, ...] = ()  #: findings of `/training/validate` for the path; empty for an upload
    warnings: tuple[FindingView, ...] = ()
