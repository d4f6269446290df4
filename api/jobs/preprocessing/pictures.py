"""Make small pictures of an item for a vision model, in a child process."""

from pathlib import Path

from PIL import Image, ImageOps

from api.jobs.preprocessing.images import open_image
from api.jobs.preprocessing.item_work import decoding
from api.jobs.preprocessing.recipe import Geometry
from api.jobs.preprocessing.videos import NoVideo, Tick, read_facts, read_first
from api.jobs.preprocessing.work import Made, Record, WorkItem

#: The longer side of the pictures in pixels.
LONGEST_SIDE = 1024


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
