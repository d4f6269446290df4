"""Samples of saved models, so that users can compare the models: record, list, rate, draw."""

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from api.domain.datasets.media import Decoder, MediaSource
from api.domain.samples.training_sample import TrainingSample
from api.errors import ArtifactNotFound, CheckpointNotFound, DecoderBusy, NoPicture, TaskNotFound
from api.files.task_files import TaskStorage
from api.files.thumbnail_files import ThumbnailStore, side_for
from api.jobs.sampling.request import PICTURES, RESULTS, THUMBNAILS, read_records, read_request, settings_of
from api.samples.grid import SampleGrid, arrange, rank_models
from api.samples.views import SampleRanking
from api.training.output.artifacts import OpenFile, open_artifact, saved_models
from api.training.records.sample_store import StoredSample, TrainingSampleStore
from api.training.records.task_store import TaskStore
from api.util.clock import Clock
from api.util.copying import copy_fields
from api.util.http.base_path import BASE_PATH
from api.util.http.pagination import Page, PageRequest, read_page

logger = logging.getLogger(__name__)

#: Seconds that a request for a sheet waits for another one.
_SHEET_WAIT_SECONDS = 10.0

_MEDIA_TYPES = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}

#: What stands for the base model in a filter by checkpoint.
BASE = "base"


class TrainingSamples:
    """The use cases of `/training/{task_id}/samples`. Thread-safe."""

    def __init__(
        self,
        samplings: TaskStore,
        trainings: TaskStore,
        store: TrainingSampleStore,
        decoder: Decoder,
        storage: TaskStorage,
        clock: Clock,
    ) -> None:
        """Create the service. `samplings` finds the tasks that render samples."""
        self._samplings = samplings
        self._trainings = trainings
        self._store = store
        self._decoder = decoder
        self._storage = storage
        self._clock = clock
        #: Size and time of the results that were taken over, by task that still runs.
        self._taken: dict[str, tuple[int, int]] = {}
        self._sheet_lock = threading.Lock()

    # -- taking over ---------------------------------------------------------------------------------------------------

    def take_over(self, sampling_id: str) -> None:
        """Record the samples that a task has rendered so far. Repeated calls change nothing.

        Raise DatabaseUnavailable.
        """
        output = self._storage.files(sampling_id).output
        try:
            status = (output / RESULTS).stat()
            seen = (status.st_size, status.st_mtime_ns)
            if self._taken.get(sampling_id) == seen:
                return
            task = self._samplings.get(sampling_id)
            training = task.request.config["order"]["task_id"]
            request = read_request(output)
        except FileNotFoundError:
            return
        except (TaskNotFound, OSError, ValueError, KeyError) as error:
            logger.warning("samples cannot be read", extra={"task_id": sampling_id, "problem": str(error)})
            return
        keys, now, prompts = settings_of(request), self._clock.now(), request.prompts
        found = [
            StoredSample(
                training,
                sampling_id,
                record,
                keys[record.prompt],
                prompts[record.prompt].text,
                prompts[record.prompt].negative,
                now,
            )
            for record in read_records(output)
            if record.prompt in range(len(prompts))
        ]
        self._store.put(found)
        self._taken[sampling_id] = seen

    def end(self, sampling_id: str) -> None:
        """Record the samples of a task that ends."""
        self.take_over(sampling_id)
        self._taken.pop(sampling_id, None)

    def output_of(self, task_id: str) -> Path:
        """Return the output directory of a task."""
        return self._storage.files(task_id).output

    # -- reading -------------------------------------------------------------------------------------------------------

    def get_page(
        self, task_id: str, checkpoint: str | None, prompt: str | None, page: PageRequest
    ) -> tuple[Page[TrainingSample], list[str]]:
        """Return samples of a training, newest first, and the ids of the tasks that render more. Raise TaskNotFound."""
        self._trainings.get_summary(task_id)
        rendering = self._take_over_all(task_id)
        name = "" if checkpoint == BASE else checkpoint
        read = lambda limit, offset, cursor: self._store.page(task_id, name, prompt, limit, offset, cursor)  # noqa: E731
        return read_page(read, lambda sample: sample.serial, page).map(_show), rendering

    def _take_over_all(self, task_id: str) -> list[str]:
        """Record what was rendered for a training so far, and return the ids of the tasks that have not ended."""
        statuses = self._samplings.samplings_of(task_id)
        for sampling_id, status in statuses.items():
            if status.is_active:
                self.take_over(sampling_id)
        return sorted(each for each, status in statuses.items() if not status.is_finished)

    def rank(self, task_id: str) -> SampleRanking:
        """Rank the saved models of a training by the ratings of their samples. Raise TaskNotFound."""
        return rank_models(self._grid(task_id))

    def make_sheet(self, task_id: str, form: Literal["png", "html"], names: Sequence[str] | None) -> bytes:
        """Return a contact sheet, of all saved models or of these.

        Raise TaskNotFound, NoPicture, CheckpointNotFound, SheetTooLarge, DecoderBusy.
        """
        # It loads Pillow.
        from api.samples.sheet import SIDE, Headings, make_html, make_png  # noqa: PLC0415

        grid, task = self._grid(task_id), self._trainings.get(task_id)
        if names is not None:
            wanted = {"" if name == BASE else name for name in names}
            unknown = wanted - set(grid.rows)
            if unknown:
                raise CheckpointNotFound(
                    f"There are no samples of {min(unknown)!r}.",
                    data={"checkpoints": [row or BASE for row in grid.rows]},
                )
            grid = grid.only(wanted)
        heads = Headings(task.name or task_id, "Base model", task.chosen)
        # A sheet needs up to 100 MB of memory while it is made.
        if not self._sheet_lock.acquire(timeout=_SHEET_WAIT_SECONDS):
            raise DecoderBusy(headers={"Retry-After": "5"})
        try:
            return (make_png if form == "png" else make_html)(grid, heads, lambda sample: self.draw(sample, SIDE))
        finally:
            self._sheet_lock.release()

    def _grid(self, task_id: str) -> SampleGrid:
        self._trainings.get_summary(task_id)
        self._take_over_all(task_id)
        try:
            saved = list(saved_models(self._storage.files(task_id).output))
        except OSError:
            saved = []
        return arrange(self._store.cells(task_id), saved)

    def get_common(self, task_ids: Sequence[str], most: int) -> tuple[list[list[TrainingSample]], int]:
        """Return the samples of prompts that these trainings share, as `TrainingSampleStore.common` does."""
        for task_id in task_ids:
            self._take_over_all(task_id)
        found, total = self._store.common(task_ids, most)
        return [[_show(sample) for sample in group] for group in found], total

    def find(self, task_id: str, sample_id: str) -> StoredSample:
        """Return a stored sample. Raise TaskNotFound or SampleNotFound."""
        self._trainings.get_summary(task_id)
        return self._store.get(task_id, sample_id)

    def open_file(self, task_id: str, sample_id: str) -> OpenFile:
        """Open the file of a sample for reading. Raise TaskNotFound, SampleNotFound or NoPicture."""
        sample = self.find(task_id, sample_id)
        self._storage.require()
        if sample.record.file is None:
            raise NoPicture("This sample has no picture: its `problem` says why.")
        try:
            return open_artifact(self._storage.files(sample.sampling_id).output, f"{PICTURES}/{sample.record.file}", "")
        except ArtifactNotFound:
            raise NoPicture("The file of this sample was deleted.") from None

    def best(self, task_id: str, checkpoint: str, limit: int) -> list[tuple[StoredSample, Path]]:
        """Return the samples of a model with their files, the best rated first, without rejected ones."""
        self._storage.require()
        found = self._store.best(task_id, checkpoint, limit)
        pictures = [self._storage.files(each.sampling_id).output / PICTURES for each in found]
        return [(each, place / str(each.record.file)) for each, place in zip(found, pictures, strict=True)]

    def pictured(self, task_id: str) -> list[str]:
        """Return the saved models of which there are pictures."""
        return self._store.pictured(task_id)

    def draw(self, sample: StoredSample, size: int) -> bytes:
        """Return a JPEG of a sample. Raise NoPicture, DecoderBusy."""
        side, sha256 = side_for(size), sample.record.sha256
        if sample.record.file is None or sha256 is None:
            raise NoPicture("This sample has no picture: its `problem` says why.")
        output = self._storage.files(sample.sampling_id).output
        thumbnails = ThumbnailStore(output / THUMBNAILS)
        picture = thumbnails.get(sha256, side)
        if picture is None:
            os.close(self.open_file(sample.task_id, sample.sample_id).descriptor)
            path = output / PICTURES / sample.record.file
            picture = self._decoder.thumbnail(MediaSource(path), side) or b""
            try:
                thumbnails.put(sha256, side, picture)
            except OSError as error:
                # The next request makes it again.
                logger.warning("a thumbnail was not stored: %s", error.strerror)
        if not picture:
            raise NoPicture("This sample cannot be shown as a picture.")
        return picture

    def rate(self, task_id: str, sample_id: str, rating: int | None) -> TrainingSample:
        """Rate a sample, or remove its rating. Raise TaskNotFound or SampleNotFound."""
        self._trainings.get_summary(task_id)
        return _show(self._store.rate(task_id, sample_id, rating))


def _show(sample: StoredSample) -> TrainingSample:
    record, url = sample.record, f"{BASE_PATH}/training/{sample.task_id}/samples/{sample.sample_id}"
    return copy_fields(
        TrainingSample,
        sample,
        record,
        prompt=sample.text,
        prompt_index=record.prompt,
        url=None if record.file is None else f"{url}/file",
        thumbnail=None if record.file is None else f"{url}/thumbnail?file={(record.sha256 or '')[:16]}",
        media_type=None if record.file is None else _MEDIA_TYPES.get(Path(record.file).suffix),
    )
