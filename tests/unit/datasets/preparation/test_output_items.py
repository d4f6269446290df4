"""From the output files of a program to the items of a new version."""

from api.datasets.preparation.output_items import MOST_SHOWN, NewItems, Output, Tally, outputs_of
from api.domain.datasets.dataset import Blob, ManifestItem
from api.jobs.preprocessing.work import Made, Record

CLIP = ManifestItem("dir/clip.mkv", "a" * 64, 9, "a cat", "b" * 64)


def test_each_file_of_a_record_is_stored_once():
    taken: list[str] = []

    def take(name: str) -> Blob:
        taken.append(name)
        return Blob(name[0] * 64, 1)

    record = Record("k", (Made("_000", ".mp4", "1", "m"), Made("_001", ".mp4", "2", "m"), Made("", None)))
    outputs = outputs_of(record, take)
    assert taken == ["1", "m", "2"]
    assert outputs[2].blob is None
    assert [Output.from_json(output.as_json()) for output in outputs] == outputs
    assert outputs[0].hashes == ("1" * 64, "m" * 64)


def test_outputs_replace_their_source_with_its_caption_and_mask():
    new = NewItems()
    new.add(CLIP, Output("_000", ".mp4", Blob("c" * 64, 5), None, None))
    new.add(CLIP, Output("", None, None, None, None))
    assert new.items == [ManifestItem("dir/clip_000.mp4", "c" * 64, 5, "a cat", "b" * 64), CLIP]


def test_names_of_items_are_unique_ignoring_case():
    new = NewItems()
    for path in ("a.jpg", "A.png"):
        new.add(ManifestItem(path, path[0] * 64, 1), Output("", ".png", Blob("d" * 64, 2), None, None))
    new.keep(ManifestItem("a.PNG", "e" * 64, 1))
    assert [item.path for item in new.items] == ["a.png", "A_2.png", "a_3.PNG"]


def test_tally_counts_all_problems_and_stores_the_first():
    tally = Tally()
    for number in range(MOST_SHOWN + 5):
        tally.note_problem(f"{number}.png", "broken")
    tally.count([Output("", None, None, None, None)], is_known=False)
    tally.count([Output("", None, Blob("a" * 64, 1), None, None)], is_known=True)
    assert (tally.problem_count, len(tally.problems), tally.unchanged, tally.reused) == (55, 50, 1, 1)
