"""The components of the trainer's model types, their sources, and the files found on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from api.domain.models.weights import Quantisation, WeightsFacts


class Origin(StrEnum):
    """The source of a figure or a name."""

    TRAINER_DOCS = "trainer_documentation"
    FILE_PAGE = "file_page"  #: the page of the file on Hugging Face
    OTHER_TRAINER = "other_trainer"  #: the documentation of another trainer of the same model
    REPORT = "report"  #: a user's report in the trainer's issues; the text gives its number
    UNVERIFIED = "unverified"  #: parameters times bytes, or general knowledge


class Medium(StrEnum):
    """What a model generates."""

    IMAGE = "image"
    VIDEO = "video"


class Precision(StrEnum):
    """The precision of a weights file, as published file names spell it."""

    FP8 = "fp8"
    INT8 = "int8"
    BF16 = "bf16"  #: or another type that is not quantised

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The types in the header of such a file."""
        return _DTYPES[self]


_DTYPES = {
    Precision.FP8: ("F8_E4M3", "F8_E5M2"),
    Precision.INT8: ("I8",),
    Precision.BF16: ("BF16", "F16", "F32"),
}


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file or directory of a repository on Hugging Face.

    `path` ends in / for a directory and is empty for the whole repository. `exclude` has patterns of files in a
    directory that the trainer does not open.
    """

    repository: str
    path: str
    size_gb: float | None  #: 10⁹ bytes; None: not known
    origin: Origin  #: source of the size
    exclude: tuple[str, ...] = ()

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return not self.path or self.path.endswith("/")

    @property
    def name(self) -> str:
        """The last part of the path, or the repository's name if the path is empty."""
        return (self.path or self.repository).rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class ComponentNeed:
    """A slot of [model] and the files that fit it. The first of `sources` is recommended."""

    key: str  #: key in the trainer's [model]
    title: str
    sources: tuple[FileSource, ...]
    fingerprints: tuple[str, ...] = ()  #: fingerprints that identify it; empty: identified by name only
    directory_kinds: tuple[str, ...] = ()  #: accepted kinds of directory; empty: a file is required
    needs_name: bool = False  #: several models share the fingerprint, so the file name must identify it
    is_pickle: bool = False  #: published as a pickle, which can hold code
    gated: bool | None = None  #: whether the hub requires accepting a licence; None: unknown
    license: str | None = None
    dtypes: tuple[str, ...] = ()  #: accepted types of most of its bytes; empty: any
    inside: str = ""  #: the part of the variant's diffusers directory that replaces it; empty: none
    is_guided: bool | None = None  #: whether it is of a model that takes a guidance; None: no matter
    loadable: tuple[Quantisation, ...] = tuple(Quantisation)  #: quantised formats that the trainer loads

    def of(self, precision: Precision | None) -> "ComponentNeed":
        """Return this component restricted to one precision. None does not restrict it."""
        if precision is None:
            return self
        sources = tuple(source for source in self.sources if precision in source.path.lower())
        return replace(self, sources=sources or self.sources, dtypes=precision.dtypes)


@dataclass(frozen=True, slots=True)
class ModelVariant:
    """One of the models that a model type covers."""

    name: str
    title: str
    components: tuple[ComponentNeed, ...]
    note: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  #: further keys of [model] that it needs


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """GB of GPU memory needed to train a LoRA. None: unknown."""

    least_gb: float | None
    comfortable_gb: float | None
    note: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model type of the trainer."""

    model_type: str
    title: str
    medium: Medium
    variants: tuple[ModelVariant, ...]
    memory: MemoryNeed
    supports_full: bool
    supports_fp8: bool
    most_swapped: int | None  #: largest `blocks_to_swap`; None: blocks cannot be swapped
    swap_is_counted: bool = False  #: the number of blocks is read from the file, since files differ
    needs: tuple[str, ...] = ()  #: packages that the trainer's environment needs besides its requirements


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings that are known to work with a tier of GPU memory."""

    name: str
    model_type: str
    variant: str
    tier_gb: int
    title: str
    source: str  #: who reported it
    model: Mapping[str, Any]  #: keys of [model]
    config: Mapping[str, Any]  #: the rest of the configuration
    dataset: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    known_memory_gb: float | None = None  #: measured memory; None: known only to fit
    #: required precision of a file, by key of [model]
    precisions: Mapping[str, Precision] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of weights on this machine."""

    path: str
    facts: WeightsFacts


@dataclass(frozen=True, slots=True)
class FoundDirectory:
    """A directory that holds a model in diffusers', transformers' or Wan's layout."""

    path: str
    kind: str  #: such as diffusers:FluxPipeline, transformers:LlamaForCausalLM, wan:t2v:1536
    size_bytes: int
    broken: tuple[str, ...] = ()  #: incomplete files in it
    lacking: tuple[str, ...] = ()  #: missing parts and files; a model in pieces does not need all of them
    is_guided: bool | None = None  #: whether its transformer takes a guidance, as Flux.1 dev does; None: unknown


@dataclass(frozen=True, slots=True)
class LocalWeights:
    """All weights found below the model roots."""

    files: tuple[FoundFile, ...] = ()
    directories: tuple[FoundDirectory, ...] = ()
    is_cut: bool = False  #: the scan stopped at its limit
