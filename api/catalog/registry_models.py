"""Results as named models with numbered versions, which never change, and aliases, which move."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

#: What models and aliases can be called: the name of a file on every system, and no number, which names a version.
MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}"
ALIAS = r"[a-z][a-z0-9._\-]{0,39}"

#: Stands for the newest version, and so is no alias.
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A name for results. `latest` is the number of the newest version that there is; None: there is none."""

    serial: int
    name: str
    owner: str | None
    description: str | None
    tags: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    latest: int | None
    versions: int = 0  #: how many there are
    aliases: Mapping[str, int] = field(default_factory=dict)  #: numbers of versions


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One result: its bytes are the blob of this hash. `origin` and `format` are as JSON has them."""

    ordinal: int
    sha256: str
    size_bytes: int
    created_at: datetime
    actor: str
    file_name: str  #: what its download is called
    notes: str | None
    tags: tuple[str, ...]
    origin: Mapping[str, Any]
    format: Mapping[str, Any]
    aliases: tuple[str, ...] = ()
    samples: int = 0  #: how many there are


@dataclass(frozen=True, slots=True)
class NewModelVersion:
    """A version as it is about to be made; it gets its number when it is kept."""

    sha256: str
    size_bytes: int
    actor: str
    stem: str  #: what stands behind the version in the name of its download, such as epoch12; may be empty
    notes: str | None
    tags: tuple[str, ...]
    origin: Mapping[str, Any]
    format: Mapping[str, Any]
    ending: str = ".safetensors"  #: of the name of its download
    samples_of: int | None = None  #: the number of the version whose samples it takes over


@dataclass(frozen=True, slots=True)
class ModelVersionView:
    """A version as it is answered."""

    model: str
    version: int
    aliases: tuple[str, ...]
    sha256: str
    size_bytes: int
    file_name: str
    download: str  #: where the file is
    path: str | None  #: where it lies on the server's machine, which nothing may write to; None: it is missing
    created_at: datetime
    actor: str
    notes: str | None
    tags: tuple[str, ...]
    samples: int  #: how many previews there are of what it makes
    origin: Mapping[str, Any]
    format: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RegisteredModelView:
    """A named model as it is answered, with its newest version."""

    name: str
    owner: str | None
    description: str | None
    tags: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    versions: int
    aliases: Mapping[str, int]
    latest: ModelVersionView | None


@dataclass(frozen=True, slots=True)
class ModelDeleted:
    """What was deleted."""

    name: str
    version: int | None  #: None: all of it
