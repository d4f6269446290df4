"""The program that writes captions: `python -m api.jobs.preprocessing.caption_program`.

It stores one caption per item in `made/KEY.caption.json`. Captions come from a model behind an endpoint, whose key is
in the environment, or from a command of the administrator. The next run after a kill requests only missing captions.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from PIL import Image, ImageOps

from api.domain.datasets.captioning import CaptionSettings
from api.domain.tasks.cause import CauseCode
from api.jobs.errors import JobFailed
from api.jobs.kinds import CAPTION_KEY_VARIABLE, CAPTIONING_JOB
from api.jobs.messages import quote_name, report_warning
from api.jobs.preprocessing.children import ItemChild
from api.jobs.preprocessing.images import open_image
from api.jobs.preprocessing.item_work import decoding
from api.jobs.preprocessing.program import ItemProgram
from api.jobs.preprocessing.recipe import Geometry
from api.jobs.preprocessing.videos import NoVideo, Tick, read_facts, read_first
from api.jobs.preprocessing.vision import CaptionCommand, Refused, Unreachable, VisionModel
from api.jobs.preprocessing.work import Made, Record, WorkItem, read_record
from api.jobs.program import main

#: The longer side of the pictures in pixels.
LONGEST_SIDE = 1024

#: Consecutive requests without an answer after which the program fails.
_MAX_UNANSWERED = 3

#: Environment variables for this program only, not for the administrator's command.
_OWN_VARIABLES = frozenset({"PYTHONPATH", "OMP_NUM_THREADS"})

#: A plain file extension. Others are left out of the name that the command gets.
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}", re.ASCII)


class PictureWork:
    """Pictures of one item: the image, or some frames of the video, as JPEG."""

    def __init__(self, item: WorkItem, frames: int, sources: Path, results: Path, tick: Tick) -> None:
        self._item = item
        self._frames = frames
        self._sources = sources
        self._results = results
        self._tick = tick

    def run(self) -> Record:
        """Return the names of the pictures, or the problem. Raises OSError, MemoryError."""
        source = self._sources / self._item.sha256
        try:
            with decoding():
                image = open_image(source)
                if image is None:
                    return self._record(self._draw_frames(source))
                with image:
                    return self._record([self._save(ImageOps.exif_transpose(image), 0)])
        except (NoVideo, Image.DecompressionBombError) as error:
            return Record(self._item.key, (Made("", None),), str(error) or "it cannot be shown to a model")

    def _record(self, names: list[str]) -> Record:
        return Record(self._item.key, tuple(Made("", ".jpg", name) for name in names))

    def _draw_frames(self, source: Path) -> list[str]:
        facts = read_facts(source)
        names = []
        for number in range(self._frames):
            at = facts.duration * (number + 0.5) / self._frames
            names.append(self._save(read_first(source, facts, (at, facts.duration + 1.0), Geometry()), number))
            self._tick((number + 1) / self._frames)
        return names

    def _save(self, image: Image.Image, number: int) -> str:
        name = f"{self._item.key}_{number}.jpg"
        small = image.convert("RGB")
        small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        small.save(self._results / name, "JPEG", quality=90)
        return name


class CaptionProgram(ItemProgram):
    """One run over the items without a caption."""

    kind = CAPTIONING_JOB

    def __init__(self, work: Path, run: str, threads: int = 1) -> None:
        super().__init__(work, run, threads)
        self._settings = CaptionSettings(**json.loads((work / "settings.json").read_bytes()))
        frames, sources, made = self._settings.frames, work / "sources", self.made
        self._child = ItemChild(lambda item, tick: PictureWork(item, frames, sources, made, tick), made)
        environment = dict(os.environ)  # noqa: TID251 - the only way for secrets to reach this program
        self._sources, self._links = sources, work.absolute() / run / "shown"
        self._command = self._create_command(environment)
        self._model = VisionModel(self._settings, environment.get(CAPTION_KEY_VARIABLE) or None)
        self._unanswered = 0

    def _create_command(self, environment: dict[str, str]) -> CaptionCommand | None:
        if not self._settings.command:
            return None
        program_environment = {name: value for name, value in environment.items() if name not in _OWN_VARIABLES}
        return CaptionCommand(self._settings, program_environment, self.is_stopping)

    def execute(self) -> None:
        """Request a caption for every item that has none. Raises JobFailed, StopRequested, OSError."""
        self._links.mkdir(exist_ok=True)
        missing = iter([item for item in self.items if not self._caption_path(item).exists()])
        for item in self.items:
            if self._caption_path(item).exists():
                self.pace.finish(item, is_known=True)
        while batch := list(islice(missing, self._settings.parallel)):
            self.stop_if_requested()
            self._caption(batch)
            if self._unanswered >= _MAX_UNANSWERED:
                source = "endpoint" if self._command is None else "command"
                message = f"The {source} for captions does not answer. The captions that it wrote are stored."
                raise JobFailed(message, CauseCode.TRAINER_ERROR)

    def _caption(self, batch: Sequence[WorkItem]) -> None:
        if self._command is None:
            self._request_captions(batch)
            return
        for item in batch:
            self._run_command(self._command, item)

    def _run_command(self, command: CaptionCommand, item: WorkItem) -> None:
        path = self._links / f"{item.key}{_suffix(item.path)}"
        path.unlink(missing_ok=True)
        path.symlink_to((self._sources / item.sha256).absolute())
        try:
            self._take(item, command.describe(path))
        except (Refused, Unreachable) as error:
            self._take(item, error)
        finally:
            path.unlink()

    def _request_captions(self, batch: Sequence[WorkItem]) -> None:
        shown: list[tuple[WorkItem, list[bytes]]] = []
        for item in batch:
            self._child.work_on(item, lambda share: None, self.is_stopping)
            record = read_record((self.made / f"{item.key}.json").read_bytes())
            names = [made.name for made in record.made if made.name is not None]
            if record.problem is not None or not names:
                self._store(item, None, record.problem or "it has no picture to show")
            else:
                shown.append((item, [(self.made / name).read_bytes() for name in names]))
                for name in names:
                    (self.made / name).unlink()
        answers = asyncio.run(self._model.describe_all([pictures for _, pictures in shown]))
        for (item, _), answer in zip(shown, answers, strict=True):
            self._take(item, answer)

    def _take(self, item: WorkItem, answer: str | Refused | Unreachable) -> None:
        if isinstance(answer, Unreachable):
            self._unanswered += 1
            if self._unanswered < _MAX_UNANSWERED:
                self._store(item, None, str(answer))
            else:
                _warn(item, str(answer))
            return
        self._unanswered = 0
        self._store(item, *((None, str(answer)) if isinstance(answer, Refused) else (answer, None)))

    def _store(self, item: WorkItem, caption: str | None, problem: str | None) -> None:
        """Store the caption of an item, or the problem. The next task requests captions with a problem again."""
        if problem is not None:
            _warn(item, problem)
        draft = self.made / f".{item.key}.{os.getpid()}"
        draft.write_text(json.dumps({"key": item.key, "caption": caption, "problem": problem}))
        draft.rename(self._caption_path(item))
        self.pace.finish(item, is_known=False)

    def _caption_path(self, item: WorkItem) -> Path:
        return self.made / f"{item.key}.caption.json"


def _warn(item: WorkItem, problem: str) -> None:
    report_warning(f"{quote_name(item.path)}: {problem}")


def _suffix(path: str) -> str:
    suffix = PurePosixPath(path).suffix
    return suffix if _SUFFIX.fullmatch(suffix) else ""


if __name__ == "__main__":
    sys.exit(main(CaptionProgram, __doc__))
