"""The captioning program: `python -m api.jobs.preprocessing.caption_program --work DIR --run NAME`.

As the preprocessing program, but what it makes of each item is a caption, kept in `made/KEY.caption.json`: by a model
behind an endpoint, whose key comes by the environment, or by a command of the administrator's. After a kill, or an
endpoint that went away, the next run asks what is missing.
"""

# ruff: noqa: T201 - it speaks by what it prints

import asyncio
import json
import os
import re
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from api.domain.captioning import CaptionSettings
from api.jobs.preprocessing.children import ItemChild
from api.jobs.preprocessing.command import CaptionCommand, NotWanted
from api.jobs.preprocessing.pictures import PictureWork
from api.jobs.preprocessing.program import Program, read_items, run_program
from api.jobs.preprocessing.vision import Refused, Unreachable, VisionModel
from api.jobs.preprocessing.words import KEY_VARIABLE, problem_line
from api.jobs.preprocessing.work import WorkItem, read_record

#: Questions in a row without an answer after which nobody is there to be asked.
_PATIENCE = 3

#: Variables that are meant for this program alone.
_OWN_VARIABLES = frozenset({"PYTHONPATH", "OMP_NUM_THREADS"})

#: An ending that tells what a file is; others are left out of the name that a command sees.
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}", re.ASCII)


class CaptionProgram(Program):
    """One run over the items."""

    def __init__(self, work: Path, run: str) -> None:
        self._settings_of_model = CaptionSettings(**json.loads((work / "settings.json").read_bytes()))
        super().__init__(work, run, list(read_items(work / "items.jsonl")))
        frames = self._settings_of_model.frames
        sources, made = work / "sources", self.made
        self._child = ItemChild(lambda item, tick: PictureWork(item, frames, sources, made, tick), made)
        environment = dict(os.environ)  # noqa: TID251 - a program of its own: secrets reach it by no other way
        self._sources, self._shown = sources, work.absolute() / run / "shown"
        self._command = self._create_command(environment)
        self._model = VisionModel(self._settings_of_model, environment.get(KEY_VARIABLE) or None)
        self._silent = 0

    def _create_command(self, environment: dict[str, str]) -> CaptionCommand | None:
        if not self._settings_of_model.command:
            return None
        # Of this program's own surroundings nothing is another program's.
        theirs = {name: value for name, value in environment.items() if name not in _OWN_VARIABLES}
        return CaptionCommand(self._settings_of_model, theirs, self.is_wanted)

    def work(self) -> int:
        """Asks about every item without a caption; returns the exit code."""
        self._shown.mkdir(exist_ok=True)
        left = iter([item for item in self.items if not self._path(item).exists()])
        for item in self.items:
            if self._path(item).exists():
                self.pace.finish(item, is_known=True)
        while batch := list(islice(left, self._settings_of_model.parallel)):
            if not self.is_wanted():
                return self.quit()
            self._ask(batch)
            if self._silent >= _PATIENCE:
                who = "endpoint" if self._command is None else "command"
                print(f"Error: the {who} for captions does not answer; what it has said is kept", file=sys.stderr)
                return 1
        return self.finish()

    def _ask(self, batch: Sequence[WorkItem]) -> None:
        if self._command is not None:
            for item in batch:
                self._ask_command(self._command, item)
            return
        self._ask_model(batch)

    def _ask_command(self, command: CaptionCommand, item: WorkItem) -> None:
        path = self._shown / f"{item.key}{_suffix(item.path)}"
        path.unlink(missing_ok=True)
        path.symlink_to((self._sources / item.sha256).absolute())
        try:
            self._take(item, command.describe(path))
        except NotWanted:
            return
        except (Refused, Unreachable) as error:
            self._take(item, error)
        finally:
            path.unlink()

    def _ask_model(self, batch: Sequence[WorkItem]) -> None:
        shown: list[tuple[WorkItem, list[bytes]]] = []
        for item in batch:
            self._child.work_on(item, lambda share: None, self.is_wanted)
            record = read_record((self.made / f"{item.key}.json").read_bytes())
            names = [made.name for made in record.made if made.name is not None]
            if record.problem is not None or not names:
                self._keep(item, None, record.problem or "there is nothing to show of it")
            else:
                shown.append((item, [(self.made / name).read_bytes() for name in names]))
                for name in names:
                    (self.made / name).unlink()
        answers = asyncio.run(self._model.describe_all([pictures for _, pictures in shown]))
        for (item, _), answer in zip(shown, answers, strict=True):
            self._take(item, answer)

    def _take(self, item: WorkItem, answer: str | Refused | Unreachable) -> None:
        if isinstance(answer, Unreachable):
            self._silent += 1
            print(problem_line(item.path, str(answer)), flush=True)
            if self._silent < _PATIENCE:
                self._keep(item, None, str(answer))
            return
        self._silent = 0
        self._keep(item, *((None, str(answer)) if isinstance(answer, Refused) else (answer, None)))

    def _keep(self, item: WorkItem, caption: str | None, problem: str | None) -> None:
        """Keeps what became of an item; what went wrong is asked again by the next task."""
        if problem is not None:
            print(problem_line(item.path, problem), flush=True)
        draft = self.made / f".{item.key}.{os.getpid()}"
        draft.write_text(json.dumps({"key": item.key, "caption": caption, "problem": problem}))
        draft.rename(self._path(item))
        self.pace.finish(item, is_known=False)

    def _path(self, item: WorkItem) -> Path:
        return self.made / f"{item.key}.caption.json"


def _suffix(path: str) -> str:
    suffix = PurePosixPath(path).suffix
    return suffix if _SUFFIX.fullmatch(suffix) else ""


def main() -> int:
    """Asks as the directory says."""
    return run_program(lambda work, run, threads: CaptionProgram(work, run), __doc__)


if __name__ == "__main__":
    sys.exit(main())
