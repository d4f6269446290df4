"""What the trainer's model types are made of, where that can be had, and what of it is on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from api.domain.weights import Quantisation, WeightsFacts


class Origin(StrEnum):
    """Where a figure or a name is from."""

    TRAINER_DOCS = "trainer_documentation"
    FILE_PAGE = "file_page"  #: the page of the file on Hugging Face
    OTHER_TRAINER = "other_trainer"  #: the documentation of another trainer of the same model
    REPORT = "report"  #: a user's report in the trainer's issues, whose number stands beside it
    UNVERIFIED = "unverified"  #: parameters times bytes, or general knowledge


class Medium(StrEnum):
    """What a model makes."""

    IMAGE = "image"
    VIDEO = "video"


class Precision(StrEnum):
    """What the numbers of a file of weights are, as the names of published files call it."""

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
    """A file of a repository on Hugging Face, or a directory of it where `path` ends in / (the whole one where empty).

    `exclude` are the patterns of what of a directory the trainer does not open.
    """

    repository: str
    path: str
    size_gb: float | None  #: 10⁹ bytes; None: not known
    origin: Origin  #: of the size
    exclude: tuple[str, ...] = ()

    @property
    def is_directory(self) -> bool:
        """Whether it is more than one file."""
        return not self.path or self.path.endswith("/")

    @property
    def name(self) -> str:
        """The last part of the path; of a whole repository its name."""
        return (self.path or self.repository).rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class ComponentNeed:
    """A path of [model], what belongs there, and where it can be had; the first of `sources` is what to take."""

    key: str  #: as the trainer's [model] has it
    title: str
    sources: tuple[FileSource, ...]
    fingerprints: tuple[str, ...] = ()  #: by which it is recognised; none: by its name alone
    directory_kinds: tuple[str, ...] = ()  #: what a directory must be; none: it is a file
    needs_name: bool = False  #: several models have the same fingerprint, so that the name must tell
    is_pickle: bool = False  #: it is published as a pickle, which can hold code
    gated: bool | None = None  #: whether the hub asks for an accepted licence; None: not known
    license: str | None = None
    dtypes: tuple[str, ...] = ()  #: what most bytes of its file must be; none: anything
    loadable: tuple[Quantisation, ...] = tuple(Quantisation)  #: the forms of quantised weights that the trainer loads

    def of(self, precision: Precision | None) -> "ComponentNeed":
        """The same, of this precision only; None: of any."""
        if precision is None:
            return self
        sources = tuple(source for source in self.sources if precision in source.path.lower())
        return replace(self, sources=sources or self.sources, dtypes=precision.dtypes)


@dataclass(frozen=True, slots=True)
class ModelVariant:
    """One of the models that a type stands for."""

    name: str
    title: str
    components: tuple[ComponentNeed, ...]
    note: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  #: further keys of [model] that it needs


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """GB of GPU memory that training a LoRA needs; None: nobody has told."""

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
    most_swapped: int | None  #: the largest `blocks_to_swap`; None: no blocks can be swapped
    swap_is_counted: bool = False  #: the file tells the number of blocks, and it may be another
    needs: tuple[str, ...] = ()  #: what the trainer's environment needs besides its requirements


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings for a tier of GPU memory that somebody is known to have trained with."""

    name: str
    model_type: str
    variant: str
    tier_gb: int
    title: str
    source: str  #: who says so
    model: Mapping[str, Any]  #: keys of [model]
    config: Mapping[str, Any]  #: the rest of the configuration
    dataset: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    known_memory_gb: float | None = None  #: what was measured; None: only that it fits
    precisions: Mapping[str, Precision] = field(default_factory=dict)  #: by key of [model], what its file must be


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of weights on this machine."""

    path: str
    facts: WeightsFacts


@dataclass(frozen=True, slots=True)
class FoundDirectory:
    """A directory that is a model: a diffusers or transformers one, or one of Wan's."""

    path: str
    kind: str  #: such as diffusers:FluxPipeline, transformers:LlamaForCausalLM, wan:t2v:1536
    size_bytes: int
    broken: tuple[str, ...] = ()  #: files in it that are not whole
    lacking: tuple[str, ...] = ()  #: parts and files that it should have; a model in pieces can do without some


@dataclass(frozen=True, slots=True)
class LocalWeights:
    """All that was found below the roots."""

    files: tuple[FoundFile, ...] = ()
    directories: tuple[FoundDirectory, ...] = ()
    is_cut: bool = False  #: there was more than is looked at
