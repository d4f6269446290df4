from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.domain.tasks.cluster_options import ClusterOptions
from api.domain.tasks.training import GPURequest, PlannedOutputs, TrainingPlan, TrainingRequest
from api.domain.tasks.usage import GB
from api.errors import CheckBusy, Finding
from api.files import task_files
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Check
from api.training import capacity_check
from api.training import check as request_check
from api.training.check import MAX_CHECKS, RequestChecker
from tests.unit.access.locations import make_files, paths_of
from tests.unit.training.builders import create_checker, offer

REQUEST = TrainingRequest(model_type="toy")


class Trainer:
    model_types = frozenset({"toy"})

    def __init__(self) -> None:
        self.meanwhile: Any = None
        self.found = Check()

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        if self.meanwhile is not None:
            self.meanwhile()
        return self.found

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        return request


@pytest.fixture
def trainer() -> Trainer:
    return Trainer()


@pytest.fixture
def checker(trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RequestChecker:
    monkeypatch.setattr(request_check, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(capacity_check, "list_offers", lambda state: [])
    gpus: Any = SimpleNamespace(state=SimpleNamespace(startable={"here"}, has_cluster=False, is_fleet=False))
    trainers: Any = {"toy": trainer}
    return create_checker(trainers, gpus, tmp_path)


def test_cluster_options_are_rejected_without_a_cluster(checker: RequestChecker):
    assert not checker.check(REQUEST, "a").errors
    (found,) = checker.check(replace(REQUEST, slurm=ClusterOptions()), "a").errors
    assert found.pointer == "/slurm"


def nest(checker: RequestChecker, trainer: Trainer, depth: int) -> None:
    """Run this many checks concurrently, each started within the one before."""
    trainer.meanwhile = (lambda: nest(checker, trainer, depth - 1)) if depth > 1 else None
    checker.check(REQUEST, "a")


def test_four_checks_run_concurrently(checker: RequestChecker, trainer: Trainer):
    nest(checker, trainer, MAX_CHECKS)


def test_surplus_check_is_rejected_with_retry_after(checker: RequestChecker, trainer: Trainer):
    with pytest.raises(CheckBusy) as refusal:
        nest(checker, trainer, MAX_CHECKS + 1)
    assert refusal.value.status == 503
    assert refusal.value.headers == {"Retry-After": "1"}


def test_failed_check_releases_its_slot(checker: RequestChecker, trainer: Trainer):
    for _ in range(MAX_CHECKS + 1):
        with pytest.raises(CheckBusy):
            nest(checker, trainer, MAX_CHECKS + 1)
    nest(checker, trainer, MAX_CHECKS)


def test_number_of_waiting_checks_is_limited(
    checker: RequestChecker, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(request_check, "WAIT_SECONDS", 600.0)
    with ExitStack() as waiting:
        for _ in range(request_check.MAX_WAITING):
            checker._waiting.acquire()
            waiting.callback(checker._waiting.release)
        nest(checker, trainer, MAX_CHECKS)
        with pytest.raises(CheckBusy):
            nest(checker, trainer, MAX_CHECKS + 1)


def test_findings_are_capped_with_a_count(checker: RequestChecker, trainer: Trainer):
    trainer.found = Check(errors=tuple(Finding(f"/{index}", "wrong") for index in range(300)))
    errors = checker.check(REQUEST, "a").errors
    assert len(errors) == 201
    assert errors[-1].message == "There are 100 more findings than these."


CLUSTER = [offer(index, node=node, uuid=f"GPU-{node}-{index}") for node in ("n1", "n2") for index in (0, 1)]


@pytest.mark.parametrize(
    ("named", "wrong"),
    [
        (("n1:0", "n1:1"), []),
        ((0, "GPU-n2-1"), []),
        (("n1:0", "n2:0"), ["/gpu_ids"]),
        (("n1:0", "GPU-n1-0"), ["/gpu_ids/1"]),
        (("n3:0",), ["/gpu_ids/0"]),
    ],
)
def test_gpus_of_a_cluster_are_named_with_their_single_node(
    checker: RequestChecker, monkeypatch: pytest.MonkeyPatch, named: tuple[int | str, ...], wrong: list[str]
):
    monkeypatch.setattr(capacity_check, "list_offers", lambda state: CLUSTER)
    found = checker.check(TrainingRequest("toy", gpus=GPURequest(named, len(named))), "a")
    assert [each.pointer for each in found.errors] == wrong


def test_no_request_is_too_large_for_a_cluster_that_has_not_reported(checker: RequestChecker, tmp_path: Path):
    requested = [GPURequest((), 4), GPURequest(("n1:7",), 1)]
    assert checker.check(replace(REQUEST, gpus=requested[0]), "a").problems
    unheard: Any = SimpleNamespace(state=SimpleNamespace(startable=frozenset()))
    early = create_checker({"toy": Trainer()}, unheard, tmp_path)  # type: ignore[dict-item]
    for gpus in requested:
        checked = early.check(replace(REQUEST, gpus=gpus), "a")
        assert (checked.problems, checked.errors) == ((), ())


@pytest.mark.parametrize(
    ("weights", "gpus", "requested", "is_warned"),
    [
        (28_000, (24_564,), GPURequest(count=1), True),
        (28_000, (24_564, 81_559), GPURequest(count=1), False),
        (28_000, (24_564, 81_559), GPURequest(count=2), True),
        (28_000, (24_564, 81_559), GPURequest((0,)), True),
        (28_000, (24_564, 81_559), GPURequest((1,)), False),
        (20_000, (24_564,), GPURequest(count=1), False),
        (28_000, (None,), GPURequest(count=1), False),
        (None, (24_564,), GPURequest(count=1), False),
    ],
)
def test_weights_larger_than_any_gpu_give_a_warning(
    checker: RequestChecker,
    trainer: Trainer,
    monkeypatch: pytest.MonkeyPatch,
    weights: int | None,
    gpus: tuple[int | None, ...],
    requested: GPURequest,
    is_warned: bool,
):
    offers = [replace(offer(index), total_mb=total) for index, total in enumerate(gpus)]
    monkeypatch.setattr(capacity_check, "list_offers", lambda state: offers)
    trainer.found = Check(plan=TrainingPlan("toy", "toy", 1, weights_mb=weights))
    found = checker.check(replace(REQUEST, gpus=requested), "a")
    assert [each.pointer for each in found.warnings] == (["/config/model"] if is_warned else [])
    if is_warned:
        assert "28,000 MB" in found.warnings[0].message
        assert "24,564 MB" in found.warnings[0].message


@pytest.mark.parametrize(
    ("models", "checkpoints", "free", "is_warned"),
    [
        (2 * GB, 3 * GB, 4 * GB, True),
        (2 * GB, 2 * GB, 4 * GB, False),
        (None, None, 0, False),
        (2 * GB, 3 * GB, None, False),
    ],
)
def test_outputs_larger_than_the_disk_give_a_warning(
    checker: RequestChecker,
    trainer: Trainer,
    monkeypatch: pytest.MonkeyPatch,
    models: int | None,
    checkpoints: int | None,
    free: int | None,
    is_warned: bool,
):
    monkeypatch.setattr(task_files, "find_free_bytes", lambda directory, min_free_mb: free)
    outputs = [PlannedOutputs(2, total_bytes=size) for size in (models, checkpoints)]
    trainer.found = Check(plan=TrainingPlan("toy", "toy", 1, saved_models=outputs[0], checkpoints=outputs[1]))
    found = checker.check(REQUEST, "a")
    assert [each.pointer for each in found.warnings] == (["/config"] if is_warned else [])
    if is_warned:
        assert "5.0 GB" in found.warnings[0].message
        assert "4.0 GB" in found.warnings[0].message


def test_forbidden_path_has_no_other_findings(checker: RequestChecker, tmp_path: Path):
    make_files(tmp_path)
    checker._paths = paths_of(tmp_path)
    checker._trainers = {"toy": Toy()}
    request = TrainingRequest("toy", config={"epochs": "no number"}, dataset_toml=f"path = '{tmp_path}/secret.key'")
    found = checker.check(request, "a")
    assert [(each.pointer, each.code) for each in found.errors] == [("/dataset_toml/path", "path_of_others")]
    assert found.plan is None


def test_no_request_is_too_large_for_a_cluster_without_reported_gpus(trainer: Trainer, tmp_path: Path):
    state = SimpleNamespace(startable=frozenset({"n1"}), has_cluster=True, gpus=(), is_fleet=False)
    gpus, trainers = SimpleNamespace(state=state), {"toy": trainer}
    checker = create_checker(trainers, gpus, tmp_path)  # type: ignore[arg-type]
    for selection in (GPURequest((), 4, 0), GPURequest(("n1:0",), 1, 0)):
        found = checker.check(replace(REQUEST, gpus=selection), "a")
        assert (found.problems, found.errors) == ((), ())
