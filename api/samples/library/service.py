"""The use cases of samples: pictures and clips of what a version produces, stored as blobs beside the weights."""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from api.catalog.registry.models import MODEL_NAME, ModelVersionView
from api.catalog.registry.sample_store import RegistrySampleStore
from api.catalog.registry.service import Registry
from api.domain.access.principal import API_ACTOR, Permission, current_principal
from api.domain.datasets.dataset import MediaFacts
from api.domain.datasets.media import Decoder, MediaProblem, MediaSource
from api.domain.datasets.upload import Upload, UploadResult, metadata_text
from api.domain.finding import FILE_EMPTY, make_finding
from api.domain.samples.library_sample import (
    MOST_PROMPT,
    MOST_SAMPLE_BYTES,
    MOST_SAMPLES,
    MOST_STEP,
    SAMPLE_ENDINGS,
    SEED,
    ModelSample,
    NewSample,
    SampleDeleted,
    SampleSettings,
    SampleView,
)
from api.errors import (
    DatabaseUnavailable,
    Finding,
    FindingText,
    Forbidden,
    Invalid,
    NoPicture,
    SampleRefused,
    ServiceError,
)
from api.files.blobs import BlobStore
from api.files.thumbnail_files import ThumbnailStore, side_for
from api.training.output.artifacts import OpenFile, saved_name
from api.training.records.sample_store import StoredSample
from api.util.clock import Clock
from api.util.copying import copy_fields
from api.util.files.stored_form import StoredForm
from api.util.http.base_path import BASE_PATH
from api.util.text.masking import mask_secrets

logger = logging.getLogger(__name__)


#: Bytes per read, and bytes of a file's beginning that tell WebM from other Matroska files.
_CHUNK, _HEAD = 1024 * 1024, 64

_PATTERNS = {"name": re.compile(MODEL_NAME, re.ASCII), "seed": re.compile(SEED, re.ASCII)}
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)

#: Raises QuotaExceeded if an owner may not store that many bytes more.
RequireStorage = Callable[[str | None, int], None]

#: Samples of a training's model, at most so many, with their files.
Rendered = Callable[[str, str, int], Iterable[tuple[StoredSample, Path]]]


class Samples:
    """The use cases of `/models/registry/{name}/versions/{version}/samples`."""

    def __init__(
        self,
        registry: Registry,
        store: RegistrySampleStore,
        blobs: BlobStore,
        decoder: Decoder,
        require_storage: RequireStorage,
        clock: Clock,
        rendered: Rendered = lambda task_id, checkpoint, limit: (),
    ) -> None:
        """Create the service. `rendered` returns the samples of a training's model with their files, the best first."""
        self._rendered = rendered
        self._registry = registry
        self._store = store
        self._blobs = blobs
        self._decoder = decoder
        self._thumbnails = ThumbnailStore(blobs.root / "thumbnails")
        self._require_storage = require_storage
        self._clock = clock

    # -- adding --------------------------------------------------------------------------------------------------------

    def take_form(
        self,
        name: str,
        version: str,
        form: StoredForm,
        path: Path,
        settings: SampleSettings | None,
        found: list[Finding],
    ) -> SampleView:
        """Add a sample from a form with its file at a path. `found` are the mistakes of its fields.

        Raises RegisteredModelNotFound, ModelVersionNotFound, Invalid with every mistake, SampleRefused, TooManySamples,
        QuotaExceeded, DecoderBusy, OSError.
        """
        ordinal = self._registry.find_version(name, version).ordinal
        mistakes = [*found, *_mistakes_in(form)]
        if mistakes or settings is None:
            raise Invalid(mistakes=mistakes)
        principal = current_principal.get()
        self._require_storage(principal.owner, form.size_bytes)
        return self._show(name, self._add(name, ordinal, form.upload_id, path, settings, principal.actor))

    def check(self, metadata: Mapping[str, str]) -> None:
        """Check the metadata of a new upload.

        Raises Invalid with every mistake, Forbidden, ModelExists, NotYours, ModelVersionNotFound.
        """
        mistakes = _mistakes_of(metadata)
        if mistakes:
            raise Invalid(mistakes=mistakes)
        principal = current_principal.get()
        if not principal.may(Permission.MODELS_WRITE):
            raise Forbidden("Uploading a sample needs models:write.", data={"missing": [Permission.MODELS_WRITE]})
        self._registry.require_own(metadata["name"], principal)
        self._registry.find_version(metadata["name"], metadata["version"])

    def take(self, upload: Upload, path: Path) -> UploadResult:
        """Add a complete upload as a sample. Repeated calls add it once.

        Raises SampleRefused, TooManySamples, RegisteredModelNotFound, ModelVersionNotFound, DecoderBusy, and errors of
        the disk or the database.
        """
        metadata, name = upload.metadata, upload.metadata["name"]
        step, prompt = metadata_text(metadata, "step"), metadata_text(metadata, "prompt")
        settings = SampleSettings(
            None if prompt is None else mask_secrets(prompt),
            metadata_text(metadata, "seed"),
            None if step is None else int(step),
        )
        ordinal = self._registry.find_version(name, metadata["version"]).ordinal
        self._add(name, ordinal, upload.upload_id, path, settings, upload.owner or API_ACTOR)
        return UploadResult(None, ordinal, 1, 0, 0, model=name)

    def add_rendered(self, version: ModelVersionView, task_id: str, artifact: str, actor: str) -> ModelVersionView:
        """Add the samples that were rendered with a training's model to its version, and return the version.

        Samples that cannot be added are logged: the version exists already. Raises DatabaseUnavailable.
        """
        saved = saved_name(artifact)
        owner = self._registry.owner_of(version.model)
        for rendered, path in () if saved is None else self._rendered(task_id, saved, MOST_SAMPLES):
            settings = SampleSettings(mask_secrets(rendered.text), str(rendered.record.seed), None)
            named = f"{version.model} {version.version} {rendered.sample_id}"
            try:
                self._require_storage(owner, path.stat().st_size)
                self._add(
                    version.model,
                    version.version,
                    hashlib.sha256(named.encode()).hexdigest()[:32],
                    path,
                    settings,
                    actor,
                )
            except DatabaseUnavailable:
                raise
            except (ServiceError, OSError) as error:
                extra = {"model": version.model, "sample": rendered.sample_id, "problem": str(error)}
                logger.warning("a sample was not added", extra=extra)
        return self._registry.get_version(version.model, str(version.version))

    def _add(
        self, name: str, ordinal: int, sample_id: str, path: Path, settings: SampleSettings, actor: str
    ) -> ModelSample:
        size = path.stat().st_size
        if size > MOST_SAMPLE_BYTES:
            raise SampleRefused(f"The sample has {size:,} bytes, but the limit is {MOST_SAMPLE_BYTES:,} bytes.")
        facts = self._decoder.examine(MediaSource(path)).facts
        form = _format_of(facts, path)
        # A copy, not a link, because the file of an upload is truncated when the upload is cancelled.
        with path.open("rb") as file, self._blobs.begin() as writer:
            while part := file.read(_CHUNK):
                writer.write(part)
            blob = writer.commit()
        new = NewSample(sample_id, blob.sha256, blob.size_bytes, form, facts, settings, actor)
        made = self._store.add(self._registry.find(name).serial, ordinal, new, self._clock.now())
        logger.info("sample added", extra={"model": name, "version": ordinal, "sample": sample_id})
        return made

    # -- reading -------------------------------------------------------------------------------------------------------

    def of(self, name: str, version: str) -> list[ModelSample]:
        """Return the stored samples of a version. Raises RegisteredModelNotFound, ModelVersionNotFound."""
        return self._store.of_version(*self._key(name, version))

    def list_samples(self, name: str, version: str) -> list[SampleView]:
        """Return the samples of a version, oldest first. Raises RegisteredModelNotFound, ModelVersionNotFound."""
        return [self._show(name, each) for each in self.of(name, version)]

    def find(self, name: str, version: str, sample_id: str) -> ModelSample:
        """Return a stored sample. Raises RegisteredModelNotFound, ModelVersionNotFound, SampleNotFound."""
        return self._store.get(*self._key(name, version), sample_id)

    def get(self, name: str, version: str, sample_id: str) -> SampleView:
        """Return the view of a sample. Raises the same errors as `find`."""
        return self._show(name, self.find(name, version, sample_id))

    def open_file(self, name: str, version: str, sample_id: str) -> OpenFile:
        """Open the file of a sample for reading.

        Raises RegisteredModelNotFound, ModelVersionNotFound, SampleNotFound, BlobMissing.
        """
        found = self.find(name, version, sample_id)
        handle = self._blobs.open(found.sha256)
        size = os.fstat(handle).st_size
        return OpenFile(handle, _file_name(name, found), size, found.created_at.timestamp())

    def draw(self, sample: ModelSample, size: int) -> bytes:
        """Return a JPEG of a sample. Raises NoPicture, BlobMissing, DecoderBusy."""
        side = side_for(size)
        picture = self._thumbnails.get(sample.sha256, side)
        if picture is None:
            picture = self._decoder.thumbnail(MediaSource(self._blobs.path(sample.sha256)), side) or b""
            try:
                self._thumbnails.put(sample.sha256, side, picture)
            except OSError as error:
                # The next request makes it again.
                logger.warning("a thumbnail was not stored: %s", error.strerror)
        if not picture:
            raise NoPicture("This sample cannot be shown as a picture.")
        return picture

    # -- linking and deleting ------------------------------------------------------------------------------------------

    def link_file(self, sample: ModelSample, target: Path) -> None:
        """Link the file of a sample into a task's directory. Raises BlobMissing, OSError."""
        self._registry.link_file(sample.sha256, target)

    def delete(self, name: str, version: str, sample_id: str) -> SampleDeleted:
        """Delete a sample. Raises RegisteredModelNotFound, ModelVersionNotFound, SampleNotFound."""
        self._store.remove(*self._key(name, version), sample_id)
        return SampleDeleted(sample_id)

    def collect(self, needed: Callable[[Any], set[str]], older_than_seconds: float) -> None:
        """Remove the thumbnails that are not needed. Raises OSError."""
        self._thumbnails.sweep(needed, older_than_seconds)

    def _key(self, name: str, version: str) -> tuple[int, int]:
        return self._registry.find(name).serial, self._registry.find_version(name, version).ordinal

    @staticmethod
    def _show(name: str, sample: ModelSample) -> SampleView:
        url = f"{BASE_PATH}/models/registry/{name}/versions/{sample.ordinal}/samples/{sample.sample_id}"
        return copy_fields(
            SampleView,
            sample,
            sample.settings,
            model=name,
            version=sample.ordinal,
            file_name=_file_name(name, sample),
            file=f"{url}/file",
            thumbnail=f"{url}/thumbnail",
        )


def _file_name(name: str, sample: ModelSample) -> str:
    step = "" if sample.settings.step is None else f"-step{sample.settings.step}"
    return f"{name}-v{sample.ordinal}{step}-{sample.sample_id[:8]}{sample.ending}"


def _format_of(facts: MediaFacts, path: Path) -> str:
    """Return the format of a file, one of SAMPLE_ENDINGS. Raises SampleRefused."""
    if facts.problem not in (None, MediaProblem.TURNED):
        raise SampleRefused(f"The sample cannot be shown: {facts.problem_text or facts.problem}")
    form = facts.format
    if form == "matroska":
        with path.open("rb") as file:
            form = "webm" if b"webm" in file.read(_HEAD) else form
    if form not in SAMPLE_ENDINGS:
        known = ", ".join(SAMPLE_ENDINGS)
        raise SampleRefused(f"The file is {form or 'not a picture or clip'}. Send one of {known}.")
    return form


def _mistakes_in(form: StoredForm) -> list[Finding]:
    if form.file_field is None:
        return [make_finding("/file", FindingText("sample_missing", "is missing", "Send the picture or clip as file."))]
    return [] if form.size_bytes else [make_finding("/file", FILE_EMPTY)]


def _mistakes_of(metadata: Mapping[str, str]) -> list[Finding]:
    """Return the mistakes in the metadata of an upload."""
    found = []
    for name, pattern in _PATTERNS.items():
        text = metadata_text(metadata, name)
        if (text is None and name == "name") or (text is not None and pattern.fullmatch(text) is None):
            problem = (
                FindingText("name_of_model_needed", "must be the name of the model")
                if name == "name"
                else FindingText("digits_needed", "must be at most 20 digits")
            )
            found.append(make_finding(f"/Upload-Metadata/{name}", problem))
    version, step = metadata_text(metadata, "version"), metadata_text(metadata, "step")
    if version is None or _NUMBER.fullmatch(version) is None:
        # An alias may name another version by the end of the upload.
        found.append(
            make_finding(
                "/Upload-Metadata/version", FindingText("version_number_needed", "must be the number of a version")
            )
        )
    if step is not None and (_NUMBER.fullmatch(step) is None or int(step) > MOST_STEP):
        found.append(
            make_finding(
                "/Upload-Metadata/step",
                FindingText("step_number_needed", "must be a number, at most {most}"),
                most=f"{MOST_STEP:,}",
            )
        )
    if len(metadata_text(metadata, "prompt") or "") > MOST_PROMPT:
        found.append(
            make_finding(
                "/Upload-Metadata/prompt",
                FindingText("prompt_too_long", "must have at most {most} characters"),
                most=f"{MOST_PROMPT:,}",
            )
        )
    return found
