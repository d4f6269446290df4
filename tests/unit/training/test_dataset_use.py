from api.domain.dataset import PinnedDataset
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import Mistake
from api.training.dataset_use import NoDatasets, UsedDatasets

REQUEST = TrainingRequest("toy")
PIN = PinnedDataset("cats", 1, "sha256:" + "a" * 64, 3, 1)
PLAN = TrainingPlan("toy", "toy", 1, files={"dataset.toml": 'path = "/view"'}, caches=("/view/cache/x",), notes=("n",))


def test_without_named_datasets_everything_stays_as_it_is():
    used = NoDatasets().use(REQUEST, "t")
    assert (used.kept, used.given) == (REQUEST, REQUEST)
    assert used.finish(PLAN) is PLAN
    assert used.point([Mistake("/a", "b")]) == (Mistake("/a", "b"),)


def test_a_plan_names_the_places_where_the_directories_will_be():
    used = UsedDatasets(REQUEST, REQUEST, pins=(PIN,), notes=("changed",), moved={"/view": "/task"})
    finished = used.finish(PLAN)
    assert finished.files == {"dataset.toml": 'path = "/task"'}
    assert (finished.caches, finished.notes, finished.datasets) == (("/task/cache/x",), ("n", "changed"), (PIN,))


def test_findings_about_a_directory_point_to_its_dataset():
    used = UsedDatasets(REQUEST, REQUEST, pointers={"/dataset/directories/0/path": "/dataset/directories/0/dataset"})
    found = used.point(
        [Mistake("/dataset/directories/0/path", "empty"), Mistake("/dataset/directories/0/pathology", "x")]
    )
    assert [mistake.pointer for mistake in found] == [
        "/dataset/directories/0/dataset",
        "/dataset/directories/0/pathology",
    ]


def test_of_a_dataset_that_was_not_found_nothing_else_is_said():
    used = UsedDatasets(REQUEST, REQUEST, mistakes=(Mistake("/dataset/directories/1/dataset", "none"),))
    said = [Mistake("/dataset/directories/1/path", "missing"), Mistake("/dataset/directories/10/path", "missing")]
    assert used.point(said) == (said[1],)
