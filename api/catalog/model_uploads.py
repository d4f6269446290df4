"""Uploads of models that were made elsewhere: judged by their content, and then a version like any other."""

import errno
import re
from collections.abc import Mapping
from pathlib import Path

from api.catalog.origin import describe_format
from api.catalog.registry import Registry
from api.catalog.registry_models import MODEL_NAME, NewModelVersion
from api.catalog.store import RegistryStore
from api.domain.access import ANYBODY, Permission, current_principal
from api.domain.catalog import CatalogModel
from api.domain.upload import Upload, UploadResult, metadata_text
from api.domain.weights import FileForm, WeightsFacts
from api.errors import ChecksumMismatch, Forbidden, Invalid, Mistake, ModelExists, WeightsRefused
from api.files.blobs import BlobStore
from api.files.upload_files import UploadFiles
from api.files.weights.examination import FORM_WORDS, examine
from api.files.weights.fingerprints.table import titles_of, what_belongs
from api.util.clock import Clock

_NAME = re.compile(MODEL_NAME, re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)

#: What can hold code, and is taken only where whoever sends it has named its hash.
_PICKLES = (FileForm.TORCH_ZIP, FileForm.PICKLE)

#: The endings under which pickles are handed on.
_PICKLE_ENDINGS = (".pt", ".pth", ".ckpt", ".bin")

#: Read at a time.
_CHUNK = 1024 * 1024

#: The newest versions among which that of an upload is looked for, whose server was killed before it was noted.
_RECENT = 50


class ModelUploads:
    """What `/uploads` asks about uploads whose kind is model."""

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

    # -- at the beginning ----------------------------------------------------------------------------------------------

    def check(self, metadata: Mapping[str, str]) -> None:
        """Whether an upload described so may begin. Raises Invalid with every mistake, Forbidden, ModelExists,
        NotYours.
        """
        mistakes = self._mistakes_in(metadata)
        if mistakes:
            raise Invalid(mistakes=mistakes)
        principal = current_principal.get()
        if not principal.may(Permission.MODELS_WRITE):
            raise Forbidden("Uploading a model needs models:write.", data={"missing": [Permission.MODELS_WRITE]})
        self._registry.require_own(metadata["name"], principal)

    def _mistakes_in(self, metadata: Mapping[str, str]) -> list[Mistake]:
        name, sha256, model_type, key = (
            metadata_text(metadata, word) for word in ("name", "sha256", "model_type", "component")
        )
        found = []
        if name is None or _NAME.fullmatch(name) is None:
            told = "must name the model: letters, digits, . _ and -, at most 100 of them"
            found.append(Mistake("/Upload-Metadata/name", told))
        # Empty is not left out: a command that was to make it has failed.
        if metadata.get("sha256") == "" or (sha256 is not None and _SHA256.fullmatch(sha256) is None):
            found.append(Mistake("/Upload-Metadata/sha256", "must be 64 hexadecimal digits"))
        if model_type is not None and model_type not in self._models:
            found.append(Mistake("/Upload-Metadata/model_type", "is no model type of the trainer"))
        elif key is not None and (model_type is None or key not in _keys_of(self._models[model_type])):
            found.append(Mistake("/Upload-Metadata/component", "must be a key of [model] of the model_type beside it"))
        return found

    # -- at the end ----------------------------------------------------------------------------------------------------

    def take(self, upload: Upload, path: Path) -> UploadResult:
        """Makes an upload that is here whole the next version of its model; once, however often it is asked.

        Raises WeightsRefused, ChecksumMismatch, ModelExists, and what a disk or the database raises.
        """
        name, metadata = upload.metadata["name"], upload.metadata
        before = self._find(name, upload.upload_id)
        if before is not None:
            return UploadResult(None, before, 0, 0, 0, model=name)
        facts = examine(path)
        self._judge(facts, metadata)
        pinned = (metadata_text(metadata, "sha256") or "").lower() or None
        sha256 = self._keep(path, pinned)
        model = self._store.ensure(name, upload.owner, self._clock.now())
        # One that was there before was looked at then; after a clock was set back nobody can tell.
        if model.owner != upload.owner and not model.created_at < upload.created_at <= self._clock.now():
            raise ModelExists(f'A model is called "{name}" already.')
        model_type = metadata_text(metadata, "model_type")
        new = NewModelVersion(
            sha256=sha256,
            size_bytes=facts.size_bytes,
            actor=upload.owner or ANYBODY,
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
        """The version that an upload has become already."""
        return self._store.find_uploaded(name, upload_id, _RECENT)

    def _judge(self, facts: WeightsFacts, metadata: Mapping[str, str]) -> None:
        """Refuses what is no whole model, and what is another than was said. Raises WeightsRefused."""
        file = metadata_text(metadata, "filename") or "The file"
        if facts.form in _PICKLES:
            if metadata_text(metadata, "sha256") is None:
                raise WeightsRefused(
                    f"{file} {FORM_WORDS[facts.form]}: name its sha256 in the metadata if you trust this very file, or"
                    " send a safetensors file."
                )
            return
        if facts.form is not FileForm.SAFETENSORS:
            raise WeightsRefused(f"{file} {FORM_WORDS[facts.form]}.")
        if not facts.is_whole:
            raise WeightsRefused(f"{file} {facts.problem or 'cannot be judged'}.")
        model_type, key = metadata_text(metadata, "model_type"), metadata_text(metadata, "component")
        belongs = what_belongs(f"{model_type}.{key}") if key is not None else ()
        is_other = facts.adapter is not None or (
            facts.component is not None and all(each.name != facts.component.name for each in belongs)
        )
        if belongs and is_other:
            titles = " or ".join(titles_of(f"{model_type}.{key}"))
            raise WeightsRefused(f"{file} is {facts.title}: as {key} of {model_type} belongs {titles}.")

    def _keep(self, path: Path, sha256: str | None) -> str:
        """Puts the file into the store, and checks its hash. Raises ChecksumMismatch, OSError."""
        try:
            # Under a second name: where this is killed before a version names the blob, the upload still has its file.
            return self._blobs.adopt(self._files.twin_of(path), sha256).sha256
        except ValueError as error:
            raise ChecksumMismatch(f"The file is another than its sha256 says: {error}.") from None
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        with path.open("rb") as file, self._blobs.begin() as writer:
            while part := file.read(_CHUNK):
                writer.write(part)
            found = writer.commit().sha256
        if sha256 not in (None, found):
            raise ChecksumMismatch(f"The file is another than its sha256 says: it is {found}.")
        return found


def _keys_of(model: CatalogModel) -> set[str]:
    return {need.key for variant in model.variants for need in variant.components}


def _ending_of(facts: WeightsFacts, metadata: Mapping[str, str]) -> str:
    """What the download's name ends with."""
    if facts.form is FileForm.SAFETENSORS:
        return ".safetensors"
    name = (metadata_text(metadata, "filename") or "").lower()
    return next((ending for ending in _PICKLE_ENDINGS if name.endswith(ending)), _PICKLE_ENDINGS[0])
