"""Show items as the trainer will see them: how it makes their pixels, and the pixels."""

from collections.abc import Sequence

from api.datasets.checks.service import CheckRequest, seen_file
from api.datasets.checks.trainer_rules import RuleBook
from api.datasets.checks.views import RecipeView
from api.datasets.items.items import DatasetItems
from api.datasets.items.media import DatasetMedia
from api.domain.datasets.media import Decoder, MediaSource, Recipe
from api.domain.finding import make_finding
from api.errors import FindingText, Invalid, NotTrained
from api.util.copying import copy_fields

#: Most frames in a strip, and most pixels of all its frames together.
MAX_FRAMES = 16
MAX_PIXELS = 16_000_000


class AsTrained:
    """Shows items as the trainer sees them."""

    def __init__(self, items: DatasetItems, media: DatasetMedia, decoder: Decoder, rules: RuleBook) -> None:
        self._items = items
        self._media = media
        self._decoder = decoder
        self._rules = rules

    def describe(self, name: str, item_id: str, request: CheckRequest, frame: int | None) -> RecipeView:
        """Return how the pixels are made.

        Raises DatasetNotFound, VersionNotFound, ItemNotFound, NotTrained, Invalid.
        """
        _, recipe, shown = self._find(name, item_id, request, frame)
        return copy_fields(RecipeView, recipe, model_type=request.model_type or "", shown=tuple(shown))

    def draw(self, name: str, item_id: str, request: CheckRequest, frame: int | None) -> bytes:
        """Return a PNG of one frame or a strip of frames. Raises the errors of `describe`, and DecoderBusy."""
        source, recipe, shown = self._find(name, item_id, request, frame)
        drawn = self._decoder.as_trained(source, recipe, shown)
        if drawn is None:
            raise NotTrained("The item cannot be decoded to its end, although its header says that it can.")
        return drawn

    def _find(
        self, name: str, item_id: str, request: CheckRequest, frame: int | None
    ) -> tuple[MediaSource, Recipe, Sequence[int]]:
        dataset, _, found = self._items.find(name, item_id, request.version)
        question = request.question
        if question is None:
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/model_type", FindingText("model_type_needed", "The model type is missing.", "Set model_type.")
                    )
                ]
            )
        source = self._media.source_of(dataset, found.item)
        probe = self._media.require(found.item.sha256, source)
        recipes = self._rules.of_question(question).recipes(
            question, seen_file(found.item, found.item.path, {found.item.sha256: probe})
        )
        if not recipes or not recipes[0].frames:
            raise NotTrained
        return source, recipes[0], _positions(recipes[0], frame)


def _positions(recipe: Recipe, frame: int | None) -> Sequence[int]:
    """Return the indexes of the frames to show: the given one, or evenly spaced ones with the first and the last."""
    count = len(recipe.frames)
    if frame is not None:
        if frame >= count:
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/frame",
                        FindingText(
                            "frame_not_used", "The trainer uses {count} frames of the item.", "Use 0 to {last}."
                        ),
                        count=count,
                        last=count - 1,
                    )
                ]
            )
        return [frame]
    shown = min(count, MAX_FRAMES, max(1, MAX_PIXELS // (recipe.width * recipe.height)))
    return range(count) if shown == count else [round(i * (count - 1) / max(shown - 1, 1)) for i in range(shown)]
