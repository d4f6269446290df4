"""The program that renders samples: `python -m api.jobs.sampling.program`.

Each sample is stored as soon as it is rendered, so that a later run renders only what is missing.
"""

import contextlib
import hashlib
import io
import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx
from PIL import Image, UnidentifiedImageError

from api.domain.tasks.cause import CauseCode
from api.files.thumbnail_files import ThumbnailStore
from api.jobs.errors import JobFailed
from api.jobs.kinds import SAMPLING_JOB
from api.jobs.messages import report_activity, report_progress, report_warning
from api.jobs.program import JobProgram, main
from api.jobs.sampling.comfyui import ChosenWorkflow, ComfyUI
from api.jobs.sampling.command import CommandSampler
from api.jobs.sampling.graph import Places
from api.jobs.sampling.request import (
    PICTURES,
    RESULTS,
    THUMBNAILS,
    ComfyAddress,
    LoraFile,
    SampleRecord,
    read_base_pixels,
    read_records,
    read_request,
    settings_of,
)
from api.jobs.sampling.sampler import Rendered, Rotation, Sampler, SamplerProblem, SamplerUnavailable, Shot
from api.util.http.bounded_answers import TimedTransport

#: Seconds for which the program waits for a ComfyUI that does not answer, and between two tries.
_PATIENCE_SECONDS, _RETRY_SECONDS = 900.0, 10.0

#: Seconds for which it waits for an export, and between two looks.
_EXPORT_SECONDS, _LOOK_SECONDS = 3600.0, 1.0

#: Most pixels of all frames of a sample; a larger one is refused before it is decoded.
_MOST_PIXELS = 500_000_000

#: Most bytes of all files of a job.
_MOST_BYTES = 20 * 2**30

#: Pixels that each frame counts for at least, because decoding one takes time.
_FRAME_PIXELS = 50_000

#: Side and quality of the small picture.
_SMALL_SIDE, _QUALITY = 256, 85

#: What the beginning of a video contains, by its suffix.
_VIDEO_MARKS = {".mp4": b"ftyp", ".webm": b"\x1aE\xdf\xa3"}
_MARK_BYTES = 16

T = TypeVar("T")


class SamplingProgram(JobProgram):
    """One run over the samples that are missing."""

    kind = SAMPLING_JOB

    def __init__(self, work: Path, run: str, threads: int = 1, samplers: Sequence[Sampler] = ()) -> None:
        super().__init__(work, run, threads)
        self._request = read_request(work)
        self._samplers = Rotation(samplers or self._create_samplers())
        self._pictures = work / PICTURES
        self._pictures.mkdir(exist_ok=True)
        self._known = {(each.checkpoint, each.prompt): each for each in read_records(work) if each.problem is None}
        self._settings = settings_of(self._request)
        #: Hashes of the base model's pixels, by server and settings; None for a video.
        self._base_pixels: dict[tuple[str | None, str], str | None] = {}
        for directory in (*map(Path, self._request.earlier), work):
            self._base_pixels |= read_base_pixels(directory)
        missing = set(self._settings) - {settings for _, settings in self._base_pixels}
        self._total = len(self._request.prompts) * len(self._request.loras) + len(missing)
        self._bytes = sum(path.stat().st_size for path in self._pictures.iterdir())
        #: Keys of each LoRA that were not loaded: ComfyUI logs them for its first picture only.
        self._missing: dict[str, int] = {}
        self._done = 0
        self._started_at = time.monotonic()

    def _create_samplers(self) -> list[Sampler]:
        request = self._request
        if request.command:
            environment = dict(os.environ)  # noqa: TID251 - its own environment is the command's
            return [CommandSampler(request.command, request, self.work, environment, self.is_stopping)]
        if not request.servers:
            raise JobFailed("There is nothing to sample with: set COMFYUI_URL.", CauseCode.TRAINER_ERROR)
        return [self._connect(server) for server in request.servers]

    def _connect(self, server: ComfyAddress) -> ComfyUI:
        request = self._request
        places = None if request.places is None else Places.from_json(request.places)
        chosen = ChosenWorkflow(request.model_type, request.base, request.graph, places, tuple(request.extensions))
        return ComfyUI(
            server.url,
            Path(server.lora_directory),
            httpx.Client(transport=TimedTransport(), trust_env=False, follow_redirects=False),
            chosen,
            most_seconds=request.most_seconds,
            is_stopping=self.is_stopping,
        )

    def execute(self) -> None:
        """Render every missing sample. Raises JobFailed, StopRequested, OSError."""
        self._patiently(self._samplers.prepare)
        for lora in self._request.loras:
            self.stop_if_requested()
            # Names are never used twice: ComfyUI caches files by their path.
            self._await_export(lora)
            name = f"dpipe-{uuid.uuid4().hex[:12]}-{lora.checkpoint}.safetensors"
            try:
                # It may have placed the file before it fails or is stopped.
                self._patiently(partial(self._samplers.add_lora, Path(lora.path), name))
                self._sample(lora, name)
            finally:
                self._samplers.remove_lora(name)

    def _await_export(self, lora: LoraFile) -> None:
        """Wait until the task that makes a LoRA has made it. Raise JobFailed if it ends without, or StopRequested."""
        if lora.export is None:
            return
        give_up_at, ended_since = time.monotonic() + _EXPORT_SECONDS, None
        while not Path(lora.path).is_file():
            now = time.monotonic()
            # A retry of the export begins within seconds.
            is_over = _has_ended(Path(lora.export))
            ended_since = (ended_since or now) if is_over else None
            if now > give_up_at or (ended_since is not None and now - ended_since > _RETRY_SECONDS):
                raise JobFailed(
                    f"No LoRA was made of the checkpoint of {lora.checkpoint}: see {Path(lora.export).name} for the"
                    " reason, then sample again.",
                    CauseCode.MISSING_FILE,
                )
            report_activity(f"waiting for the LoRA of {lora.checkpoint}")
            self.stop_if_requested()
            time.sleep(_LOOK_SECONDS)

    def _sample(self, lora: LoraFile, name: str) -> None:
        for index in range(len(self._request.prompts)):
            self.stop_if_requested()
            if self._has_base(index) and (lora.checkpoint, index) in self._known:
                self._report()
                continue
            # The picture is judged by the base model's, which must come from the same server.
            render = partial(self._render_with_base, lora, index, name)
            try:
                found = self._patiently(partial(self._samplers.use, render), is_final=False)
            except SamplerProblem as problem:  # of a server that was to continue
                found = self._new_record(lora, index, self._request.strength)
                self._store(replace(found, problem=str(problem)))
            if found.problem is not None and found.pixels is not None:
                # The other prompts would show the same: this LoRA does nothing.
                self._done += len(self._request.prompts) - index - 1
                return

    def _has_base(self, index: int) -> bool:
        """Return whether a server has rendered this prompt with the base model."""
        return any(settings == self._settings[index] for _, settings in self._base_pixels)

    def _render_with_base(self, lora: LoraFile, index: int, name: str, sampler: Sampler) -> SampleRecord:
        key = sampler.server, self._settings[index]
        if key not in self._base_pixels:
            base = self._render(sampler, None, index, name, 0.0)
            if base.file is not None:
                self._base_pixels[key] = base.pixels
        known = self._known.get((lora.checkpoint, index))
        if known is not None:
            self._report()
            return known
        return self._render(sampler, lora, index, name, self._request.strength)

    def _new_record(self, lora: LoraFile | None, index: int, strength: float) -> SampleRecord:
        checkpoint = None if lora is None else lora.checkpoint
        return SampleRecord(checkpoint, index, self._request.prompts[index].seed, strength)

    def _render(self, sampler: Sampler, lora: LoraFile | None, index: int, name: str, strength: float) -> SampleRecord:
        """Render and store a sample. Raise SamplerUnavailable, StopRequested or JobFailed."""
        self.stop_if_requested()
        prompt, request, record = self._request.prompts[index], self._request, self._new_record(lora, index, strength)
        report_activity(f"{record.checkpoint or 'the base model'}, prompt {index + 1}")
        shot = Shot(
            name,
            strength,
            prompt.text,
            prompt.negative,
            prompt.seed,
            request.width,
            request.height,
            request.frames,
            request.steps,
        )
        try:
            record = self._judge(replace(record, server=sampler.server), lora, sampler.render(shot))
        except SamplerUnavailable:
            raise
        except SamplerProblem as problem:
            record = replace(record, problem=str(problem))
            if lora is None and self._has_base(index):
                return record  # the picture of another server stays
        record = replace(record, workflow_hash=sampler.workflow_hash, comfyui_version=sampler.version)
        self._store(record)
        return record

    def _store(self, record: SampleRecord) -> None:
        if record.problem is not None:
            report_warning(f"{record.checkpoint or 'Base model'}, prompt {record.prompt + 1}: {record.problem}")
        with (self.work / RESULTS).open("a") as file:
            file.write(record.line())
        self._report()

    def _judge(self, record: SampleRecord, lora: LoraFile | None, rendered: Rendered) -> SampleRecord:
        """Store the picture, unless it shows that the LoRA did nothing."""
        pixels, width, height, frames, small = _measure(rendered)
        keys, missing = (None if lora is None else lora.keys), rendered.keys_missing
        if lora is not None and missing is not None:
            missing = self._missing[lora.checkpoint] = max(missing, self._missing.get(lora.checkpoint, 0))
        record = replace(record, pixels=pixels, width=width, height=height, frames=frames, keys_missing=missing)
        is_same = (
            lora is not None
            and pixels is not None
            and pixels == self._base_pixels.get((record.server, self._settings[record.prompt]))
        )
        if is_same and record.strength:
            count = "keys" if keys is None else f"{keys:,} keys"
            why = (
                "The LoRA does not fit the model of this workflow."
                if missing
                else "Its weights are still zero, as after few steps or with a learning rate that is too low, or it"
                " does not fit the model of this workflow."
            )
            problem = f"None of its {count} had an effect: the picture equals the base model's. {why}"
            return replace(record, problem=problem)
        if missing:
            of = "" if keys is None else f" of {keys:,}"
            report_warning(f"{record.checkpoint}: ComfyUI did not load {missing:,}{of} keys of the LoRA.")
        self._bytes += len(rendered.content)
        if self._bytes > _MOST_BYTES:
            raise JobFailed(
                f"The samples take more than {_MOST_BYTES // 2**30} GiB: render fewer or smaller ones.",
                CauseCode.TRAINER_ERROR,
            )
        digest = hashlib.sha256(rendered.content).hexdigest()
        name = f"{record.checkpoint or 'base'}-{record.prompt}-{digest[:12]}{rendered.ending}"
        draft = self._pictures / f".{name}"
        draft.write_bytes(rendered.content)
        draft.replace(self._pictures / name)
        if small is not None:
            # The page shows it at once. If it cannot be stored, the first request makes it.
            with contextlib.suppress(OSError):
                ThumbnailStore(self.work / THUMBNAILS).put(digest, _SMALL_SIDE, small)
        return replace(record, file=name, sha256=digest)

    def _report(self) -> None:
        self._done += 1
        total = max(self._total, self._done)
        seconds = (time.monotonic() - self._started_at) / self._done * (total - self._done)
        report_progress("samples", self._done, total, 100 * self._done / total, seconds)

    def _patiently(self, act: Callable[[], T], *, is_final: bool = True) -> T:
        """Repeat an action while the sampler is unavailable. Raise JobFailed for other problems if they are final."""
        give_up_at = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return act()
            except SamplerUnavailable as problem:
                if time.monotonic() > give_up_at:
                    raise JobFailed(str(problem), CauseCode.NETWORK) from None
                report_warning(f"{problem} The program tries again.")
                for _ in range(int(_RETRY_SECONDS)):
                    self.stop_if_requested()
                    time.sleep(1)
            except SamplerProblem as problem:
                if is_final:
                    raise JobFailed(str(problem), CauseCode.TRAINER_ERROR) from None
                raise


def _has_ended(export: Path) -> bool:
    """Return whether the latest attempt of an export has ended."""
    attempts = sorted(export.glob("attempts/*"), key=lambda path: (len(path.name), path.name))
    return bool(attempts) and (attempts[-1] / "exit.json").exists()


def _measure(rendered: Rendered) -> tuple[str | None, int | None, int | None, int | None, bytes | None]:
    """Return a hash of the pixels, width, height, frames and a small JPEG.

    None each if it is a video, which is not decoded here.
    """
    if rendered.ending in _VIDEO_MARKS:
        if _VIDEO_MARKS[rendered.ending] not in rendered.content[:_MARK_BYTES]:
            raise SamplerProblem(f"ComfyUI's file is no {rendered.ending} video: look at its output folder.")
        return None, None, None, None, None
    digest, frames, pixels, small = hashlib.sha256(), 0, 0, None
    try:
        with Image.open(io.BytesIO(rendered.content), formats=("PNG", "WEBP", "JPEG", "GIF")) as picture:
            # Frames are counted while they are decoded: a file may hold millions of tiny ones.
            while True:
                pixels += max(picture.width * picture.height, _FRAME_PIXELS)
                if pixels > _MOST_PIXELS:
                    raise SamplerProblem("ComfyUI saved a picture that is too large.")
                frame = picture.convert("RGB")
                digest.update(frame.tobytes())
                frames += 1
                small = small or _shrink(frame)
                try:
                    picture.seek(frames)
                except EOFError:
                    break
            return digest.hexdigest(), picture.width, picture.height, frames, small
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise SamplerProblem("ComfyUI's file is no readable picture: look at its output folder.") from None


def _shrink(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    small = picture.copy()
    small.thumbnail((_SMALL_SIDE, _SMALL_SIDE))
    small.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()


if __name__ == "__main__":
    sys.exit(main(SamplingProgram, __doc__))
