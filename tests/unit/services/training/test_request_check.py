from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.errors import CheckBusy, Mistake
from api.models.training import TrainingRequest
from api.services.training import request_check
from api.services.training.request_check import MAX_CHECKS, RequestChecker
from api.trainers.trainer import Check

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
    monkeypatch.setattr(request_check, "list_offers", lambda state: [])
    gpus: Any = SimpleNamespace(state=None)
    attempts: Any = SimpleNamespace(peak_memory=lambda model_type: None)
    trainers: Any = {"toy": trainer}
    return RequestChecker(trainers, gpus, attempts, tmp_path, min_free_mb=0)


def nest(checker: RequestChecker, trainer: Trainer, depth: int) -> None:
    """So many checks at once: each is asked for within the one before."""
    trainer.meanwhile = (lambda: nest(checker, trainer, depth - 1)) if depth > 1 else None
    checker.check(REQUEST, "a")


def test_four_checks_run_at_a_time(checker: RequestChecker, trainer: Trainer):
    nest(checker, trainer, MAX_CHECKS)


def test_one_more_is_asked_to_come_again(checker: RequestChecker, trainer: Trainer):
    with pytest.raises(CheckBusy) as refusal:
        nest(checker, trainer, MAX_CHECKS + 1)
    assert refusal.value.status == 503
    assert refusal.value.headers == {"Retry-After": "1"}


def test_a_check_that_fails_gives_its_place_back(checker: RequestChecker, trainer: Trainer):
    for _ in range(MAX_CHECKS + 1):
        with pytest.raises(CheckBusy):
            nest(checker, trainer, MAX_CHECKS + 1)
    nest(checker, trainer, MAX_CHECKS)


def test_those_who_wait_for_a_place_are_few(checker: RequestChecker, trainer: Trainer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_check, "WAIT_SECONDS", 600.0)
    with ExitStack() as waiting:
        for _ in range(request_check.MAX_WAITING):
            checker._waiting.acquire()
            waiting.callback(checker._waiting.release)
        nest(checker, trainer, MAX_CHECKS)
        with pytest.raises(CheckBusy):
            nest(checker, trainer, MAX_CHECKS + 1)


def test_findings_are_capped_with_a_count(checker: RequestChecker, trainer: Trainer):
    trainer.found = Check(errors=tuple(Mistake(f"/{index}", "wrong") for index in range(300)))
    errors = checker.check(REQUEST, "a").errors
    assert len(errors) == 201
    assert errors[-1].message == "There are 100 more findings than these."
