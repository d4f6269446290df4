"""Uploads of models from elsewhere: checked by their content, then added as versions."""

import errno
import re
from collections.abc import Mapping
from pathlib import Path

from api.catalog.registry.models import MODEL_NAME, NewModelVersion
from api.catalog.registry.origin import describe_format
from api.catalog.registry.service import Registry
from api.catalog.registry.store import RegistryStore
from api.domain.access.principal import API_ACTOR, Permission, current_principal
from api.domain.datasets.upload import Upload, UploadResult, metadata_text
from api.domain.finding import make_finding
from api.domain.models.base_model import CatalogModel
from api.domain.models.weights import FileForm, WeightsFacts
from api.errors import ChecksumMismatch, Finding, FindingText, Forbidden, Invalid, ModelExists, WeightsRefused
from api.files.blobs import BlobStore
from api.files.upload_files import UploadFiles
from api.files.weights.examination import FORM_TEXTS, examine
from api.trainers.diffusion_pipe.models.slots import fingerprints_for, titles_for
from api.util.clock import Clock

_NAME = re.compile(MODEL_NAME, re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)

#: Forms that can contain code. They are accepted only with a hash from the user.
_PICKLES = (FileForm.TORCH_ZIP, FileForm.PICKLE)

#: File extensions of pickles that are kept.
_PICKLE_ENDINGS = (".pt", ".pth", ".ckpt", ".bin")

#: Bytes per read.
_CHUNK = 1024 * 1024

#: The number of newest versions to search for an upload whose server was killed before it stored the result.
_RECENT = 50


class ModelUploads:
    """The handler of `/uploads` for models."""

    def __init__(
        self,
        registry: Registry,
        store: RegistryStore,
        blobs: BlobStore,
        files: UploadFiles,
        models: Mapping[str, CatalogModel],
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._store = store
        self._blobs = blobs
        self._files = files
        self._models = models
        self._clock = clock

    # -- before the upload ---------------------------------------------------------------------------------------------

    def check(self, metadata: Mapping[str, str]) -> None:
        """Check the metadata of a new upload.

        Raises Invalid with every mistake, Forbidden, ModelExists, NotYours.
        """
        mistakes = self._mistakes_in(metadata)
        if mistakes:
            raise Invalid(mistakes=mistakes)
        principal = current_principal.get()
        if not principal.may(Permission.MODELS_WRITE):
            raise Forbidden("Uploading a model needs models:write.", data={"missing": [Permission.MODELS_WRITE]})
        self._registry.require_own(metadata["name"], principal)

    def _mistakes_in(self, metadata: Mapping[str, str]) -> list[Finding]:
        name, sha256, model_type, key = (
            metadata_text(metadata, field) for field in ("name", "sha256", "model_type", "component")
        )
        found = []
        if name is None or _NAME.fullmatch(name) is None:
            found.append(
                make_finding(
                    "/Upload-Metadata/name",
                    FindingText(
                        "model_name_invalid", "must be the name of the model: at most 100 letters, digits, and . _ -"
                    ),
                )
            )
        # An empty hash is an error: the command that should compute it has probably failed.
        if metadata.get("sha256") == "" or (sha256 is not None and _SHA256.fullmatch(sha256) is None):
            found.append(
                make_finding("/Upload-Metadata/sha256", FindingText("sha256_invalid", "must be 64 hexadecimal digits"))
            )
        if model_type is not None and model_type not in self._models:
            found.append(
                make_finding(
                    "/Upload-Metadata/model_type",
                    FindingText("model_type_of_trainer_needed", "must be a model type of the trainer"),
                )
            )
        elif key is not None and (model_type is None or key not in _keys_of(self._models[model_type])):
            found.append(
                make_finding(
                    "/Upload-Metadata/component",
                    FindingText("component_key_needed", "must be a key of [model] of the given model_type"),
                )
            )
        return found

    # -- after the upload ----------------------------------------------------------------------------------------------

    def take(self, upload: Upload, path: Path) -> UploadResult:
        """Add a complete upload as the next version of its model. Repeated calls add it once.

        Raises WeightsRefused, ChecksumMismatch, ModelExists, and errors of the disk or the database.
        """
        name, metadata = upload.metadata["name"], upload.metadata
        before = self._find(name, upload.upload_id)
        if before is not None:
            return UploadResult(None, before, 0, 0, 0, model=name)
        facts = examine(path)
        self._judge(facts, metadata)
        pinned = (metadata_text(metadata, "sha256") or "").lower() or None
        sha256 = self._store_file(path, pinned)
        model = self._store.ensure(name, upload.owner, self._clock.now())
        # An older model was checked at the start of the upload. After a clock was set back, the times are unusable.
        if model.owner != upload.owner and not model.created_at < upload.created_at <= self._clock.now():
            raise ModelExists(f'A model named "{name}" already exists.')
        model_type = metadata_text(metadata, "model_type")
        new = NewModelVersion(
            sha256=sha256,
            size_bytes=facts.size_bytes,
            actor=upload.owner or API_ACTOR,
            stem="",
            notes=None,
            tags=(),
            origin={
                "upload_id": upload.upload_id,
                "file": metadata_text(metadata, "filename"),
                "model_type": model_type,
                "component": metadata_text(metadata, "component"),
            },
            format=describe_format(facts, model_type),
            ending=_ending_of(facts, metadata),
        )
        return UploadResult(
            None, self._store.add_version(name, new, (), self._clock.now()).ordinal, 0, 0, 0, model=name
        )

    def _find(self, name: str, upload_id: str) -> int | None:
        """Return the version that an upload has become; None if it has not."""
        return self._store.find_uploaded(name, upload_id, _RECENT)

    def _judge(self, facts: WeightsFacts, metadata: Mapping[str, str]) -> None:
        """Raise WeightsRefused for an incomplete model, or one that contradicts its metadata."""
        file = metadata_text(metadata, "filename") or "The file"
        if facts.form in _PICKLES:
            if metadata_text(metadata, "sha256") is None:
                raise WeightsRefused(
                    f"{file} {FORM_TEXTS[facts.form].text}. If you trust this file, put its sha256 into the metadata;"
                    " otherwise upload a safetensors file."
                )
            return
        if facts.form is not FileForm.SAFETENSORS:
            raise WeightsRefused(f"{file} {FORM_TEXTS[facts.form].text}.")
        if not facts.is_whole:
            raise WeightsRefused(f"{file} {facts.problem or 'cannot be judged'}.")
        model_type, key = metadata_text(metadata, "model_type"), metadata_text(metadata, "component")
        belongs = fingerprints_for(f"{model_type}.{key}") if key is not None else ()
        is_other = facts.adapter is not None or (
            facts.component is not None and all(each.name != facts.component.name for each in belongs)
        )
        if belongs and is_other:
            titles = " or ".join(titles_for(f"{model_type}.{key}"))
            raise WeightsRefused(f"{file} is {facts.title}, but {key} of {model_type} needs {titles}.")

    def _store_file(self, path: Path, sha256: str | None) -> str:
        """Move the file into the blob store and return its hash. Raises ChecksumMismatch, OSError."""
        try:
            # A second link, so that the upload keeps its file if this server is killed before it adds the version.
            return self._blobs.adopt(self._files.link_twin(path), sha256).sha256
        except ValueError as error:
            raise ChecksumMismatch(f"The file does not match its sha256: {error}.") from None
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        with path.open("rb") as file, self._blobs.begin() as writer:
            while part := file.read(_CHUNK):
                writer.write(part)
            found = writer.commit().sha256
        if sha256 not in (None, found):
            raise ChecksumMismatch(f"The file does not match its sha256. Its hash is {found}.")
        return found


def _keys_of(model: CatalogModel) -> set[str]:
    return {need.key for variant in model.variants for need in variant.components}


def _ending_of(facts: WeightsFacts, metadata: Mapping[str, str]) -> str:
    """Return the file extension for downloads."""
    if facts.form is FileForm.SAFETENSORS:
        return ".safetensors"
    name = (metadata_text(metadata, "filename") or "").lower()
    return next((ending for ending in _PICKLE_ENDINGS if name.endswith(ending)), _PICKLE_ENDINGS[0])
