"""What answers show of models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.domain.catalog import Medium, Origin
from api.domain.measured_memory import PlannedMemory
from api.domain.weights import FileForm, Quantisation
from api.training.views import FindingView


@dataclass(frozen=True, slots=True)
class SourceView:
    """A file, or a directory, of a repository on Hugging Face. `origin` says where the size is from."""

    repository: str
    path: str
    size_gb: float | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class ComponentView:
    """A path of [model]. `present`: it is on this machine and whole; `problem` says why something here is not."""

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
    is_pickle: bool  #: it is published as a pickle, for which ALLOW_PICKLED_WEIGHTS is needed


@dataclass(frozen=True, slots=True)
class VariantView:
    """One of the models that a type stands for."""

    id: str
    name: str
    note: str | None
    components: tuple[ComponentView, ...]
    ready: bool  #: all of them are present
    model: Mapping[str, Any]  #: the table [model] that loads it, with the paths of what is here or would be downloaded


@dataclass(frozen=True, slots=True)
class PresetSummary:
    """A preset by its name: ask for it to get the whole request."""

    name: str
    variant: str
    title: str
    memory_gb: int  #: the tier
    known_memory_gb: float | None
    source: str


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model type. `components` and `ready` are those of its first variant that is ready, else of the first."""

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
    requirements: tuple[str, ...]  #: what the trainer's environment needs besides its own requirements


@dataclass(frozen=True, slots=True)
class PresetView:
    """A ready request for `/training/start`, and the two files that it becomes."""

    name: str
    model_id: str
    variant: str
    title: str
    memory_gb: int
    known_memory_gb: float | None
    memory: PlannedMemory | None  #: what such trainings used here; null: none that can be compared has run here
    source: str
    request: Mapping[str, Any]
    config_toml: str
    dataset_toml: str
    missing: tuple[
        str, ...
    ]  #: keys of [model] whose files are not here: what stands there is where a download puts them
    needs_dataset: bool  #: the request names no data yet: give `dataset`, or fill in its directory


@dataclass(frozen=True, slots=True)
class PlaceView:
    """A place of a model where a file belongs."""

    model_id: str
    key: str


@dataclass(frozen=True, slots=True)
class AdapterView:
    """What an adapter is."""

    kind: str
    rank: int | None
    keys: str
    model_id: str | None
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WeightsView:
    """What a file or a directory of weights is. `problem` completes "It …"."""

    path: str
    name: str
    size_bytes: int
    form: FileForm
    is_whole: bool | None
    problem: str | None
    component: str | None  #: what it was recognised as
    title: str | None
    kind: str | None
    places: tuple[PlaceView, ...]
    source: str | None  #: where the signs are from by which it was recognised
    adapter: AdapterView | None
    dtype: str | None
    quantisation: Quantisation | None
    parameters: int | None
    tensors: int | None
    metadata: Mapping[str, str] = field(default_factory=dict)
    missing_files: tuple[str, ...] = ()  #: of a model in several files; a hundred of them
    fits: bool | None = None  #: whether it belongs where the request says; None: not asked, or not recognised
    belongs: tuple[str, ...] = ()  #: what belongs there
    errors: tuple[FindingView, ...] = ()  #: what `/training/validate` says of the path there; of an upload nothing
    warnings: tuple[FindingView, ...] = ()
