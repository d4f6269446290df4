from api.domain.dataset_cache import CacheState, PlannedCache
from api.domain.training import TrainingPlan, TrainingRequest
from api.trainers.toy.trainer import Toy
from api.training.cache_use import CacheChoice, CacheQuestion, NoCaches
from api.training.dataset_use import UsedDatasets

REQUEST = TrainingRequest("toy")
PLAN = TrainingPlan(
    "toy", "toy", 1, 2, 3, 6, files={"dataset.toml": 'path = "/own/a"'}, command=("x", "/own/b"), caches=("/own/cache",)
)


def question(**request) -> CacheQuestion:
    training_request = TrainingRequest("toy", **request)
    return CacheQuestion(training_request, UsedDatasets(training_request, training_request), Toy(), "t", None)


def test_service_without_caches_changes_nothing_and_prebuilds_nothing():
    choice = NoCaches().choose(question())
    assert (choice.finish(PLAN), choice.given(REQUEST)) == (PLAN, REQUEST)
    assert NoCaches().choose(question(cache_only=True)).mistakes


def test_plan_has_the_directories_of_the_cache_in_use():
    choice = CacheChoice(PlannedCache(CacheState.COMPLETE, "k", "c"), place=("/own", "/theirs"), lease=())
    made = choice.finish(PLAN)
    assert (made.files, made.command) == ({"dataset.toml": 'path = "/theirs/a"'}, ("x", "/theirs/b"))
    assert (made.caches, made.total_steps) == ((), 6)
    assert choice.given(REQUEST).trust_cache


def test_cache_task_has_no_steps():
    made = CacheChoice(PlannedCache(CacheState.BUILDING, "k", "t", is_made=True)).finish(PLAN)
    assert (made.epochs, made.steps_per_epoch, made.total_steps, made.caches) == (None, None, None, PLAN.caches)
