"""Preview samples of versions: judged as the media of datasets are, kept as blobs beside the weights, and shown."""

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from api.catalog.registry import Registry
from api.catalog.registry_models import MODEL_NAME
from api.catalog.sample_store import RegistrySampleStore
from api.domain.access import ANYBODY, Permission, current_principal
from api.domain.dataset import MediaFacts
from api.domain.media import Decoder, MediaProblem, MediaSource
from api.domain.sample import (
    MOST_PROMPT,
    MOST_SAMPLE_BYTES,
    MOST_STEP,
    SAMPLE_ENDINGS,
    SEED,
    ModelSample,
    NewSample,
    SampleDeleted,
    SampleSettings,
    SampleView,
)
from api.domain.upload import Upload, UploadResult, metadata_text
from api.errors import Forbidden, Invalid, Mistake, NoPicture, SampleRefused
from api.files.blobs import BlobStore
from api.files.thumbnails import ThumbnailStore, side_for
from api.training.artifacts import OpenFile
from api.util.base_path import BASE_PATH
from api.util.clock import Clock
from api.util.masking import mask_secrets
from api.util.taken_body import TakenForm

logger = logging.getLogger(__name__)


#: Read at a time, and bytes within which a file says that it is WebM, and not any Matroska.
_CHUNK, _HEAD = 1024 * 1024, 64

_PATTERNS = {"name": re.compile(MODEL_NAME, re.ASCII), "seed": re.compile(SEED, re.ASCII)}
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)

#: Lets an owner keep so many bytes more, or raises QuotaExceeded.
RequireStorage = Callable[[str | None, int], None]


class Samples:
    """The use cases of `/models/registry/{name}/versions/{version}/samples`."""

    def __init__(
        self,
        registry: Registry,
        store: RegistrySampleStore,
        blobs: BlobStore,
        decoder: Decoder,
        thumbnails: ThumbnailStore,
        require_storage: RequireStorage,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._store = store
        self._blobs = blobs
        self._decoder = decoder
        self._thumbnails = thumbnails
        self._require_storage = require_storage
        self._clock = clock

    # -- coming in -----------------------------------------------------------------------------------------------------

    def take_form(
        self, name: str, version: str, form: TakenForm, path: Path, settings: SampleSettings | None, said: list[Mistake]
    ) -> SampleView:
        """Makes a sample of a form whose file lies at a path; `said` are the mistakes of its fields.

        Raises RegisteredModelNotFound, ModelVersionNotFound, Invalid with every mistake, SampleRefused, TooManySamples,
        QuotaExceeded, DecoderBusy, OSError.
        """
        ordinal = self._registry.find_version(name, version).ordinal
        mistakes = [*said, *_mistakes_in(form)]
        if mistakes or settings is None:
            raise Invalid(mistakes=mistakes)
        asks = current_principal.get()
        self._require_storage(asks.owner, form.size_bytes)
        return self._show(name, self._keep(name, ordinal, form.upload_id, path, settings, asks.actor))

    def check(self, metadata: Mapping[str, str]) -> None:
        """Whether an upload in parts that is described so may begin.

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
        """Makes a sample of an upload that is here whole; once, however often it is asked.

        Raises SampleRefused, TooManySamples, RegisteredModelNotFound, ModelVersionNotFound, DecoderBusy, and what a
        disk or the database raises.
        """
        metadata, name = upload.metadata, upload.metadata["name"]
        step, prompt = metadata_text(metadata, "step"), metadata_text(metadata, "prompt")
        settings = SampleSettings(
            None if prompt is None else mask_secrets(prompt),
            metadata_text(metadata, "seed"),
            None if step is None else int(step),
        )
        ordinal = self._registry.find_version(name, metadata["version"]).ordinal
        self._keep(name, ordinal, upload.upload_id, path, settings, upload.owner or ANYBODY)
        return UploadResult(None, ordinal, 1, 0, 0, model=name)

    def _keep(
        self, name: str, ordinal: int, sample_id: str, path: Path, settings: SampleSettings, actor: str
    ) -> ModelSample:
        size = path.stat().st_size
        if size > MOST_SAMPLE_BYTES:
            raise SampleRefused(f"It has {size:,} bytes, and a sample has {MOST_SAMPLE_BYTES:,} at most.")
        facts = self._decoder.examine(MediaSource(path)).facts
        form = _format_of(facts, path)
        # Copied, and not linked: what was uploaded is cut when it is given up.
        with path.open("rb") as file, self._blobs.begin() as writer:
            while part := file.read(_CHUNK):
                writer.write(part)
            blob = writer.commit()
        new = NewSample(sample_id, blob.sha256, blob.size_bytes, form, facts, settings, actor)
        made = self._store.add(self._registry.find(name).serial, ordinal, new, self._clock.now())
        logger.info("sample kept", extra={"model": name, "version": ordinal, "sample": sample_id})
        return made

    # -- looking -------------------------------------------------------------------------------------------------------

    def of(self, name: str, version: str) -> list[ModelSample]:
        """The samples of a version as they are kept. Raises RegisteredModelNotFound, ModelVersionNotFound."""
        return self._store.of_version(*self._place(name, version))

    def list_samples(self, name: str, version: str) -> list[SampleView]:
        """The samples of a version, oldest first. Raises RegisteredModelNotFound, ModelVersionNotFound."""
        return [self._show(name, each) for each in self.of(name, version)]

    def find(self, name: str, version: str, sample_id: str) -> ModelSample:
        """One sample. Raises RegisteredModelNotFound, ModelVersionNotFound, SampleNotFound."""
        return self._store.get(*self._place(name, version), sample_id)

    def get(self, name: str, version: str, sample_id: str) -> SampleView:
        """Return one sample as it is answered. Raises as `find` does."""
        return self._show(name, self.find(name, version, sample_id))

    def open_file(self, name: str, version: str, sample_id: str) -> OpenFile:
        """The file of a sample, open for reading.

        Raises RegisteredModelNotFound, ModelVersionNotFound, SampleNotFound, BlobMissing.
        """
        found = self.find(name, version, sample_id)
        handle = self._blobs.open(found.sha256)
        size = os.fstat(handle).st_size
        return OpenFile(handle, _file_name(name, found), size, found.created_at.timestamp())

    def draw(self, sample: ModelSample, size: int) -> bytes:
        """A JPEG of a sample. Raises NoPicture, BlobMissing, DecoderBusy."""
        side = side_for(size)
        kept = self._thumbnails.get(sample.sha256, side)
        if kept is None:
            kept = self._decoder.thumbnail(MediaSource(self._blobs.path(sample.sha256)), side) or b""
            try:
                self._thumbnails.put(sample.sha256, side, kept)
            except OSError as error:
                # It is made anew next time.
                logger.warning("a thumbnail was not kept: %s", error.strerror)
        if not kept:
            raise NoPicture("No picture can be made of this sample.")
        return kept

    # -- going out -----------------------------------------------------------------------------------------------------

    def link_file(self, sample: ModelSample, target: Path) -> None:
        """Gives the file of a sample another name, for a task that needs it. Raises BlobMissing, OSError."""
        self._registry.link_file(sample.sha256, target)

    def delete(self, name: str, version: str, sample_id: str) -> SampleDeleted:
        """Takes a sample away. Raises RegisteredModelNotFound, ModelVersionNotFound, SampleNotFound."""
        self._store.remove(*self._place(name, version), sample_id)
        return SampleDeleted(sample_id)

    def collect(self, needed: Callable[[Any], set[str]], older_than_seconds: float) -> None:
        """Removes the small pictures of what nothing needs any more. Raises OSError."""
        self._thumbnails.sweep(needed, older_than_seconds)

    def _place(self, name: str, version: str) -> tuple[int, int]:
        return self._registry.find(name).serial, self._registry.find_version(name, version).ordinal

    @staticmethod
    def _show(name: str, sample: ModelSample) -> SampleView:
        place = f"{BASE_PATH}/models/registry/{name}/versions/{sample.ordinal}/samples/{sample.sample_id}"
        return SampleView(
            sample_id=sample.sample_id,
            model=name,
            version=sample.ordinal,
            kind=sample.kind,
            file_name=_file_name(name, sample),
            size_bytes=sample.size_bytes,
            sha256=sample.sha256,
            width=sample.width,
            height=sample.height,
            duration=sample.duration,
            fps=sample.fps,
            frame_count=sample.frame_count,
            prompt=sample.settings.prompt,
            seed=sample.settings.seed,
            step=sample.settings.step,
            file=f"{place}/file",
            thumbnail=f"{place}/thumbnail",
            created_at=sample.created_at,
            actor=sample.actor,
        )


def _file_name(name: str, sample: ModelSample) -> str:
    step = "" if sample.settings.step is None else f"-step{sample.settings.step}"
    return f"{name}-v{sample.ordinal}{step}-{sample.sample_id[:8]}{sample.ending}"


def _format_of(facts: MediaFacts, path: Path) -> str:
    """The format of a file, one of SAMPLE_ENDINGS. Raises SampleRefused."""
    if facts.problem not in (None, MediaProblem.TURNED):
        raise SampleRefused(f"It cannot be shown: {facts.problem_text or facts.problem}")
    form = facts.format
    if form == "matroska":
        with path.open("rb") as file:
            form = "webm" if b"webm" in file.read(_HEAD) else form
    if form not in SAMPLE_ENDINGS:
        known = ", ".join(SAMPLE_ENDINGS)
        raise SampleRefused(f"It is {form or 'no picture or clip'}: a sample is one of {known}.")
    return form


def _mistakes_in(form: TakenForm) -> list[Mistake]:
    if form.file_field is None:
        return [Mistake("/file", "is missing", "Send the picture or clip as file.")]
    return [] if form.size_bytes else [Mistake("/file", "is empty")]


def _mistakes_of(metadata: Mapping[str, str]) -> list[Mistake]:
    """What is wrong with the metadata of an upload in parts."""
    found = []
    for name, pattern in _PATTERNS.items():
        text = metadata_text(metadata, name)
        if (text is None and name == "name") or (text is not None and pattern.fullmatch(text) is None):
            told = "must name the model" if name == "name" else "must be digits, at most 20 of them"
            found.append(Mistake(f"/Upload-Metadata/{name}", told))
    version, step = metadata_text(metadata, "version"), metadata_text(metadata, "step")
    if version is None or _NUMBER.fullmatch(version) is None:
        # An alias may stand for another version by the time at which all is here.
        found.append(Mistake("/Upload-Metadata/version", "must be the number of a version"))
    if step is not None and (_NUMBER.fullmatch(step) is None or int(step) > MOST_STEP):
        found.append(Mistake("/Upload-Metadata/step", f"must be a number, at most {MOST_STEP:,}"))
    if len(metadata_text(metadata, "prompt") or "") > MOST_PROMPT:
        found.append(Mistake("/Upload-Metadata/prompt", f"has more than {MOST_PROMPT:,} characters"))
    return found
