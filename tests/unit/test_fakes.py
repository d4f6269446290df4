"""Every fake keeps to the seam that it stands for: mypy looks at no tests, and a fake that lacks a method, or takes
other arguments than the real thing, would let tests pass that should not.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

#: Each fake, and the whole seam that it stands for.
SEAMS = {
    "api.executors.fake.FakeExecutor": "api.executors.executor.Executor",
    "api.executors.memory_log.MemoryLog": "api.executors.executor.Log",
    "api.executors.memory_log.MemoryLogCursor": "api.executors.executor.LogCursor",
    "api.executors.slurm.fake.FakeCluster": "api.executors.slurm.cluster.Cluster",
    "api.gpus.sources.source.FakeSource": "api.gpus.sources.source.GPUSource",
    "api.logs.stream_output.FakePiece": "api.logs.stream_output.LogPiece",
    "api.alerts.notifiers.notifier.FakeNotifier": "api.alerts.notifiers.notifier.Notifier",
    "api.alerts.outbox.FakeSenders": "api.alerts.outbox.Senders",
    "api.alerts.worker_senders.FakeTransport": "api.alerts.worker_senders.DeliveryTransport",
    "api.training.attempts.task_results.FakeTaskResultRecorder": (
        "api.training.attempts.task_results.TaskResultRecorder"
    ),
    "api.training.attempts.updates.FakeNews": "api.training.attempts.updates.TrainingNews",
    "api.events.publisher.FakeMessageSink": "api.events.publisher.MessageSink",
    "api.web.idempotency.MemoryIdempotencyStore": "api.web.idempotency.IdempotencyStore",
    "api.nodes.head.FakeHead": "api.nodes.head.HeadLink",
    "api.gpus.registration_store.MemoryRegistrations": "api.gpus.registration_store.Registrations",
    "api.util.clock.FakeClock": "api.util.clock.Clock",
    "tests.simulation.executor.SimulatedExecutor": "api.executors.executor.Executor",
    "tests.unit.catalog.test_comfyui.FakeVersions": "api.catalog.links.LinkedVersions",
    "tests.unit.datasets.media_fakes.FakeDecoder": "api.domain.media.Decoder",
    "tests.unit.datasets.media_fakes.FakeDirectory": "api.datasets.media.RegisteredFiles",
    "tests.unit.nodes.test_shared_storage.FakeProber": "api.nodes.shared_storage.StorageProber",
    "tests.unit.trainings.Errand": "api.trainers.trainer.Trainer",
    "tests.unit.trainers.test_media.FakeExaminer": "api.trainers.media.Examiner",
    "tests.unit.web.test_auditing.Sink": "api.web.auditing.AuditSink",
    "tests.unit.web.test_unread_responses.Transport": "api.web.unread_responses.Connection",
}

#: Each fake of a few methods of a class, or of a seam.
STAND_INS = {
    "tests.unit.alerts.test_loop.FakeBoard": "api.alerts.facts.FactTables",
    "tests.unit.catalog.test_registry.FakeTraining": "api.training.service.TrainingService",
    "tests.unit.system.test_system.FakeTrainings": "api.training.service.TrainingService",
    "tests.unit.training.test_request_check.Trainer": "api.trainers.trainer.Trainer",
    "tests.unit.web.gates.FakeRing": "api.access.key_ring.KeyRing",
}

#: Fakes of a function.
OF_FUNCTIONS = {"api.logs.stream_output.FakeTaskOutput"}


def find(path: str) -> Any:
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def members(kind: Any) -> set[str]:
    """What it has that is no one's own business, instance attributes included."""
    own = "".join(inspect.getsource(each) for each in kind.__mro__ if each.__module__.split(".")[0] in ("api", "tests"))
    found = {*dir(kind), *re.findall(r"^    (\w+): ", own, re.MULTILINE), *re.findall(r"self\.(\w+)[:,]? ", own)}
    return {name for name in found if not name.startswith("_")}


def complaint(fake: Any, real: Any) -> str | None:
    """Why a method cannot take the place of another: each call of the real one must be one of the fake's."""
    ours, foreign = (list(inspect.signature(method).parameters.values())[1:] for method in (fake, real))
    stored = ours[: len(foreign)]
    if [each.name for each in stored] != [each.name for each in foreign]:
        return f"takes ({', '.join(each.name for each in ours)}), not ({', '.join(each.name for each in foreign)})"
    if any(each.default is inspect.Parameter.empty for each in ours[len(foreign) :]):
        return "needs more arguments"
    for own, other in zip(stored, foreign, strict=True):
        if other.default is not inspect.Parameter.empty and own.default is inspect.Parameter.empty:
            return f"needs {own.name}"
        if own.kind is not other.kind:
            return f"takes {own.name} in another way"
    return None


def complaints(fake: Any, real: Any, names: set[str]) -> dict[str, str]:
    found = {}
    for name in sorted(names):
        ours, foreign = (inspect.getattr_static(kind, name, None) for kind in (fake, real))
        if inspect.isfunction(ours) and inspect.isfunction(foreign):
            if (why := complaint(ours, foreign)) is not None:
                found[name] = why
        elif inspect.isfunction(foreign) and name in dir(fake):
            found[name] = "is no method"
    return found


@pytest.mark.parametrize("path", SEAMS)
def test_a_fake_has_all_that_its_seam_has(path: str):
    fake, seam = find(path), find(SEAMS[path])
    wanted = members(seam)
    assert wanted - members(fake) == set()
    assert complaints(fake, seam, wanted) == {}


@pytest.mark.parametrize("path", STAND_INS)
def test_a_stand_in_takes_what_the_real_methods_take(path: str):
    fake, real = find(path), find(STAND_INS[path])
    methods = {name for name in vars(fake) if not name.startswith("_") and inspect.isfunction(vars(fake)[name])}
    shared = methods & members(real)
    assert shared
    assert complaints(fake, real, shared) == {}


def test_every_fake_is_held_to_something():
    known = {*SEAMS, *STAND_INS, *OF_FUNCTIONS}
    found = set()
    for path in [*(ROOT / "api").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found |= {f"{module}.{name}" for name in re.findall(r"^class (Fake\w+)", path.read_text(), re.MULTILINE)}
    assert found - known == set()


class Seam:
    def take(self, what: str, at: float = 0.0) -> None: ...


class Short:
    def take(self, what: str) -> None: ...


class Other:
    def take(self, thing: str, at: float = 0.0) -> None: ...


class Needy:
    def take(self, what: str, at: float) -> None: ...


class Longer:
    def take(self, what: str, at: float = 0.0, more: int = 1) -> None: ...


@pytest.mark.parametrize(("fake", "is_fit"), [(Short, False), (Other, False), (Needy, False), (Longer, True)])
def test_what_takes_other_arguments_is_found(fake: type, is_fit: bool):
    assert (complaints(fake, Seam, {"take"}) == {}) is is_fit
