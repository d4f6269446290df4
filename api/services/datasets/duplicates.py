"""Items of a version that are the same, or look alike."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from api.models.dataset import ManifestItem, MediaKind
from api.models.dataset_check import DuplicatesView
from api.models.media import Decoder, MediaProbe

#: Groups that an answer has, and items of one group.
MAX_GROUPS = 200
MAX_MEMBERS = 100


def find_duplicates(
    items: Sequence[ManifestItem], probes: Mapping[str, MediaProbe], decoder: Decoder, distance: int
) -> DuplicatesView:
    """Groups of items of the same bytes, and of pictures whose perceptual hashes differ in `distance` bits at most.

    Images are compared with images and videos with videos. Raises DecoderBusy.
    """
    by_bytes: defaultdict[str, list[str]] = defaultdict(list)
    for item in items:
        by_bytes[item.sha256].append(item.item_id)
    exact = [group for group in by_bytes.values() if len(group) > 1]
    near: list[list[str]] = []
    all_compared = True
    for kind in (MediaKind.IMAGE, MediaKind.VIDEO):
        hashes = {
            sha256: probe.perceptual_hash
            for sha256 in by_bytes
            if (probe := probes.get(sha256)) is not None and probe.facts.kind is kind and probe.perceptual_hash
        }
        blobs = list(hashes)
        groups, is_whole = decoder.group_alike([hashes[sha256] for sha256 in blobs], distance)
        all_compared = all_compared and is_whole
        near += [[item_id for position in group for item_id in by_bytes[blobs[position]]] for group in groups]
    return DuplicatesView(_shown(exact), _shown(near), len(exact), len(near), all_compared)


def _shown(groups: list[list[str]]) -> tuple[tuple[str, ...], ...]:
    largest = sorted(groups, key=len, reverse=True)[:MAX_GROUPS]
    return tuple(tuple(group[:MAX_MEMBERS]) for group in largest)
