"""Saved models in the library: named, with numbered immutable versions and movable aliases."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

#: Names of models are valid file names on every system. Aliases are no numbers, because numbers name versions.
MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}"
ALIAS = r"[a-z][a-z0-9._\-]{0,39}"

#: The name of the newest version; not allowed as an alias.
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A saved model. `latest` is the number of its newest version, or None."""

    serial: int
    name: str
    owner: str | None
    description: str | None
    tags: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    latest: int | None
    versions: int = 0  #: the number of versions
    aliases: Mapping[str, int] = field(default_factory=dict)  #: version numbers by alias


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of a saved model. Its file is the blob of this hash; `origin` and `format` are JSON values."""

    ordinal: int
    sha256: str
    size_bytes: int
    created_at: datetime
    actor: str
    file_name: str  #: the file name of its download
    notes: str | None
    tags: tuple[str, ...]
    origin: Mapping[str, Any]
    format: Mapping[str, Any]
    aliases: tuple[str, ...] = ()
    samples: int = 0  #: the number of samples


@dataclass(frozen=True, slots=True)
class NewModelVersion:
    """A version to be added. The store gives it a number."""

    sha256: str
    size_bytes: int
    actor: str
    stem: str  #: the part of the file name after the version, such as epoch12; may be empty
    notes: str | None
    tags: tuple[str, ...]
    origin: Mapping[str, Any]
    format: Mapping[str, Any]
    ending: str = ".safetensors"  #: the file extension
    samples_of: int | None = None  #: the number of a version to copy the samples of


@dataclass(frozen=True, slots=True)
class ModelVersionView:
    """A version of a saved model in answers."""

    model: str  #: name of the model
    version: int  #: from 1; numbers are never reused
    aliases: tuple[str, ...]  #: names that lead to this version
    sha256: str
    size_bytes: int
    file_name: str  #: suggested name for a download
    download: str  #: the URL path of the file
    path: str | None  #: the read-only file on the server's machine; None if it is missing
    created_at: datetime
    actor: str
    notes: str | None  #: text of its owner
    tags: tuple[str, ...]
    samples: int  #: the number of samples
    origin: Mapping[str, Any]  #: training, epoch, loss, configuration and datasets; what is known of them
    format: Mapping[str, Any]  #: what the weights are: model type, adapter type, rank, data type


@dataclass(frozen=True, slots=True)
class RegisteredModelView:
    """A saved model in answers, with its newest version."""

    name: str
    owner: str | None
    description: str | None
    tags: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    versions: int  #: number of versions
    aliases: Mapping[str, int]  #: number of the version by alias
    latest: ModelVersionView | None  #: newest version; null: it has none


@dataclass(frozen=True, slots=True)
class ModelDeleted:
    """A deleted model or version."""

    name: str
    version: int | None  #: None: the whole model
