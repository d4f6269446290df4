from dataclasses import replace

from api.datasets.checks.duplicates import MAX_GROUPS, MAX_MEMBERS, find_duplicates
from api.domain.datasets.dataset import ManifestItem, MediaFacts, MediaKind
from api.domain.datasets.media import MediaProbe
from tests.unit.datasets.media_fakes import PICTURE, FakeDecoder


def item(path: str, sha: str) -> ManifestItem:
    return ManifestItem(path, sha.rjust(64, "0"), 1)


def test_exact_and_near_duplicates_are_separate():
    items = [item("a.png", "1"), item("b.png", "1"), item("c.png", "2"), item("d.png", "3")]
    probes = {each.sha256: replace(PICTURE, perceptual_hash="f" * 16) for each in items[:3]}
    probes[items[3].sha256] = replace(PICTURE, perceptual_hash="0" * 16)
    found = find_duplicates(items, probes, FakeDecoder(), 4)
    ids = [each.item_id for each in items]
    assert found.exact == ((ids[0], ids[1]),)
    assert found.near == ((ids[0], ids[1], ids[2]),)


def test_images_are_not_compared_with_videos_or_files_without_hash():
    items = [item(f"{number}.png", str(number)) for number in range(4)]
    video = MediaProbe(MediaFacts(MediaKind.VIDEO), perceptual_hash="f" * 16)
    picture = replace(PICTURE, perceptual_hash="f" * 16)
    probes = dict(zip([each.sha256 for each in items], [video, picture, PICTURE, PICTURE], strict=True))
    assert find_duplicates(items, probes, FakeDecoder(), 4).near_groups == 0


def test_groups_are_limited_and_counted():
    items = [item(f"{number}-{copy}", str(number)) for number in range(MAX_GROUPS + 5) for copy in range(2)]
    items += [item(f"many-{copy}", "ff") for copy in range(MAX_MEMBERS + 5)]
    found = find_duplicates(items, {}, FakeDecoder(), 4)
    assert (found.exact_groups, len(found.exact), len(found.exact[0])) == (MAX_GROUPS + 6, MAX_GROUPS, MAX_MEMBERS)


def test_group_starts_with_the_item_to_keep_and_the_others_are_extra():
    def sized(width: int) -> MediaProbe:
        return replace(PICTURE, facts=replace(PICTURE.facts, width=width, height=10), perceptual_hash="f" * 16)

    small, plain, captioned = item("a.png", "1"), item("b.png", "2"), replace(item("c.png", "2"), caption="a cat")
    probes = {small.sha256: sized(10), plain.sha256: sized(20)}
    found = find_duplicates([small, plain, captioned], probes, FakeDecoder(), 4)
    ids = [each.item_id for each in (captioned, plain, small)]
    assert (found.exact, found.near) == ((tuple(ids[:2]),), (tuple(ids),))
    assert (found.exact_extra, found.near_extra) == ((ids[1],), tuple(ids[1:]))


def test_extra_items_of_omitted_groups_are_listed():
    items = [item(f"{number:03}-{copy}", str(number)) for number in range(MAX_GROUPS + 5) for copy in range(2)]
    found = find_duplicates(items, {}, FakeDecoder(), 4)
    assert len(found.exact_extra) == MAX_GROUPS + 5
    assert items[0].item_id not in found.exact_extra
