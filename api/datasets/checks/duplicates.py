"""Find duplicate and similar items of a version."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from api.datasets.checks.views import DuplicatesView
from api.domain.datasets.dataset import ManifestItem, MediaKind
from api.domain.datasets.media import Decoder, MediaProbe

#: Greatest difference in bits between the hashes of near duplicates, unless a request sets another.
NEAR_DISTANCE = 4

#: Most groups in a response, most items of one group, and most extra items of all groups.
MAX_GROUPS = 200
MAX_MEMBERS = 100
MAX_EXTRA = 10_000

_Rank = tuple[int, int, bool, int, int, str]


def find_duplicates(
    items: Sequence[ManifestItem], probes: Mapping[str, MediaProbe], decoder: Decoder, distance: int
) -> DuplicatesView:
    """Group items with the same bytes, and pictures whose perceptual hashes differ in at most `distance` bits.

    Images are compared with images and videos with videos. Each group starts with the item to keep. Raises
    DecoderBusy.
    """
    by_bytes: defaultdict[str, list[ManifestItem]] = defaultdict(list)
    for item in items:
        by_bytes[item.sha256].append(item)
    exact = [group for group in by_bytes.values() if len(group) > 1]
    near: list[list[ManifestItem]] = []
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
        near += [[item for position in group for item in by_bytes[blobs[position]]] for group in groups]
    rank = _ranking(probes)
    same, alike = _ids(exact, rank), _ids(near, rank)
    return DuplicatesView(_shown(same), _shown(alike), len(exact), len(near), all_compared, _extra(same), _extra(alike))


def _ranking(probes: Mapping[str, MediaProbe]) -> Callable[[ManifestItem], _Rank]:
    """Return a sort key for the items of a group: the first is the one to keep.

    It prefers more pixels, more frames, a caption, mask and control, the larger file, and then the first path.
    """

    def rank(item: ManifestItem) -> _Rank:
        probe = probes.get(item.sha256)
        pixels = 0 if probe is None else (probe.facts.width or 0) * (probe.facts.height or 0)
        frames = 0 if probe is None else probe.facts.frame_count or 0
        beside = (item.mask_sha256 is not None) + (item.control_sha256 is not None)
        return (-pixels, -frames, item.caption_problem is not None, -beside, -item.size_bytes, item.path)

    return rank


def _ids(groups: Sequence[Sequence[ManifestItem]], rank: Callable[[ManifestItem], _Rank]) -> list[list[str]]:
    return [[item.item_id for item in sorted(group, key=rank)] for group in groups]


def _shown(groups: list[list[str]]) -> tuple[tuple[str, ...], ...]:
    largest = sorted(groups, key=len, reverse=True)[:MAX_GROUPS]
    return tuple(tuple(group[:MAX_MEMBERS]) for group in largest)


def _extra(groups: list[list[str]]) -> tuple[str, ...]:
    return tuple(item_id for group in groups for item_id in group[1:])[:MAX_EXTRA]
