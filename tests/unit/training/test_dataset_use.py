from api.domain.datasets.dataset import PinnedDataset
from api.domain.datasets.dataset_cache import CacheState, PlannedCache
from api.domain.reason import Reason
from api.domain.tasks.training import TrainingPlan, TrainingRequest
from api.errors import Finding
from api.trainers.toy.trainer import Toy
from api.training.dataset_use import CacheChoice, CacheQuestion, NoCaches, NoDatasets, UsedDatasets

REQUEST = TrainingRequest("toy")
PIN = PinnedDataset("cats", 1, "sha256:" + "a" * 64, 3, 1)
PLAN = TrainingPlan("toy", "toy", 1, files={"dataset.toml": 'path = "/view"'}, caches=("/view/cache/x",), notes=("n",))


def test_request_without_named_datasets_is_unchanged():
    used = NoDatasets().use(REQUEST, "t")
    assert (used.stored, used.given) == (REQUEST, REQUEST)
    assert used.finish(PLAN) is PLAN
    assert used.point([Finding("/a", "b")]) == (Finding("/a", "b"),)


def test_plan_has_the_final_directories():
    used = UsedDatasets(
        REQUEST, REQUEST, pins=(PIN,), notes=(Reason.of("changed", "changed"),), moved={"/view": "/task"}
    )
    finished = used.finish(PLAN)
    assert finished.files == {"dataset.toml": 'path = "/task"'}
    assert (finished.caches, finished.notes, finished.datasets) == (("/task/cache/x",), ("n", "changed"), (PIN,))


def test_findings_about_a_directory_point_to_its_dataset():
    used = UsedDatasets(REQUEST, REQUEST, pointers={"/dataset/directories/0/path": "/dataset/directories/0/dataset"})
    found = used.point(
        [Finding("/dataset/directories/0/path", "empty"), Finding("/dataset/directories/0/pathology", "x")]
    )
    assert [mistake.pointer for mistake in found] == [
        "/dataset/directories/0/dataset",
        "/dataset/directories/0/pathology",
    ]


def test_unresolved_dataset_has_no_other_findings():
    used = UsedDatasets(REQUEST, REQUEST, mistakes=(Finding("/dataset/directories/1/dataset", "none"),))
    output = [Finding("/dataset/directories/1/path", "missing"), Finding("/dataset/directories/10/path", "missing")]
    assert used.point(output) == (output[1],)


CACHE_PLAN = TrainingPlan(
    "toy", "toy", 1, 2, 3, 6, files={"dataset.toml": 'path = "/own/a"'}, command=("x", "/own/b"), caches=("/own/cache",)
)


def question(**request) -> CacheQuestion:
    training_request = TrainingRequest("toy", **request)
    return CacheQuestion(training_request, UsedDatasets(training_request, training_request), Toy(), "t", None)


def test_service_without_caches_changes_nothing_and_prebuilds_nothing():
    choice = NoCaches().choose(question())
    assert (choice.finish(CACHE_PLAN), choice.given(REQUEST)) == (CACHE_PLAN, REQUEST)
    assert NoCaches().choose(question(cache_only=True)).mistakes


def test_plan_has_the_directories_of_the_cache_in_use():
    choice = CacheChoice(PlannedCache(CacheState.COMPLETE, "k", "c"), place=("/own", "/theirs"), lease=())
    made = choice.finish(CACHE_PLAN)
    assert (made.files, made.command) == ({"dataset.toml": 'path = "/theirs/a"'}, ("x", "/theirs/b"))
    assert (made.caches, made.total_steps) == ((), 6)
    assert choice.given(REQUEST).trust_cache


def test_cache_task_has_no_steps():
    made = CacheChoice(PlannedCache(CacheState.BUILDING, "k", "t", is_made=True)).finish(CACHE_PLAN)
    assert (made.epochs, made.steps_per_epoch, made.total_steps, made.caches) == (None, None, None, CACHE_PLAN.caches)
