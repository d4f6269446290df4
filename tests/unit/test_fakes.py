"""Every fake has the methods and arguments of the interface that it replaces.

mypy does not check the tests, and a fake with other methods or arguments would hide faults.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

#: Each fake, and the interface that it implements completely.
SEAMS = {
    "api.executors.fake.FakeExecutor": "api.executors.executor.Executor",
    "api.jobs.sampling.sampler.FakeSampler": "api.jobs.sampling.sampler.Sampler",
    "api.executors.fake.MemoryLog": "api.executors.executor.Log",
    "api.executors.fake.MemoryLogCursor": "api.executors.executor.LogCursor",
    "api.executors.slurm.fake.FakeCluster": "api.executors.slurm.cluster.Cluster",
    "api.gpus.sharing.neighbour.FakeNeighbour": "api.gpus.sharing.neighbour.Neighbour",
    "api.gpus.sources.source.FakeSource": "api.gpus.sources.source.GPUSource",
    "api.logs.stream_output.FakePiece": "api.logs.stream_output.LogPiece",
    "api.alerts.delivery.notifiers.notifier.FakeNotifier": "api.alerts.delivery.notifiers.notifier.Notifier",
    "api.alerts.idle.ends.FakeMachineEnd": "api.alerts.idle.ends.MachineEnd",
    "api.alerts.delivery.outbox.FakeSenders": "api.alerts.delivery.outbox.Senders",
    "api.alerts.delivery.worker_senders.FakeTransport": "api.alerts.delivery.worker_senders.DeliveryTransport",
    "api.training.attempts.task_results.FakeTaskResultRecorder": (
        "api.training.attempts.task_results.TaskResultRecorder"
    ),
    "api.training.trackers.tracker.FakeTracker": "api.training.trackers.tracker.Tracker",
    "api.training.attempts.watch.updates.FakeNews": "api.training.attempts.watch.updates.TrainingNews",
    "api.events.publisher.FakeMessageSink": "api.events.publisher.MessageSink",
    "api.web.idempotency.MemoryIdempotencyStore": "api.web.idempotency.IdempotencyStore",
    "api.nodes.head.FakeHead": "api.nodes.head.HeadLink",
    "api.gpus.sharing.registration_store.MemoryRegistrations": "api.gpus.sharing.registration_store.Registrations",
    "api.util.clock.FakeClock": "api.util.clock.Clock",
    "tests.simulation.executor.SimulatedExecutor": "api.executors.executor.Executor",
    "tests.unit.samples.links.test_library_links.FakeVersions": "api.samples.links.store.LinkedVersions",
    "tests.unit.datasets.media_fakes.FakeDecoder": "api.domain.datasets.media.Decoder",
    "tests.unit.datasets.media_fakes.FakeDirectory": "api.datasets.items.media.RegisteredFiles",
    "tests.unit.nodes.test_shared_storage.FakeProber": "api.nodes.shared_storage.StorageProber",
    "tests.unit.trainings.Errand": "api.trainers.trainer.Trainer",
    "tests.unit.trainers.test_media.FakeExaminer": "api.trainers.media.Examiner",
    "tests.unit.web.test_auditing.Sink": "api.web.auditing.AuditSink",
    "tests.unit.web.test_unread_responses.Transport": "api.web.reply.Connection",
}

#: Each fake that implements only some methods of a class or interface.
STAND_INS = {
    "tests.unit.alerts.idle.test_ends.FakeLibrary": "api.catalog.transfers.pushes.PushService",
    "tests.unit.alerts.test_loop.FakeBoard": "api.alerts.facts.all_facts.FactTables",
    "tests.unit.catalog.registry.test_service.FakeTraining": "api.training.details.TrainingDetails",
    "tests.unit.system.test_system.FakeTrainings": "api.training.details.TrainingPages",
    "tests.unit.training.test_check.Trainer": "api.trainers.trainer.Trainer",
    "tests.unit.web.gates.FakeRing": "api.access.key_ring.KeyRing",
}

#: Fakes of a function.
OF_FUNCTIONS = {"api.logs.stream_output.FakeTaskOutput"}


def find(path: str) -> Any:
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def members(kind: Any) -> set[str]:
    """Return the names of the public members, including instance attributes."""
    own = "".join(inspect.getsource(each) for each in kind.__mro__ if each.__module__.split(".")[0] in ("api", "tests"))
    found = {*dir(kind), *re.findall(r"^    (\w+): ", own, re.MULTILINE), *re.findall(r"self\.(\w+)[:,]? ", own)}
    return {name for name in found if not name.startswith("_")}


def find_mismatch(fake: Any, real: Any) -> str | None:
    """Return why a fake method does not accept every call that the real one accepts, or None."""
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


def find_mismatches(fake: Any, real: Any, names: set[str]) -> dict[str, str]:
    found = {}
    for name in sorted(names):
        ours, foreign = (inspect.getattr_static(kind, name, None) for kind in (fake, real))
        if inspect.isfunction(ours) and inspect.isfunction(foreign):
            if (why := find_mismatch(ours, foreign)) is not None:
                found[name] = why
        elif inspect.isfunction(foreign) and name in dir(fake):
            found[name] = "is no method"
    return found


@pytest.mark.parametrize("path", SEAMS)
def test_fake_has_every_member_of_its_interface(path: str):
    fake, seam = find(path), find(SEAMS[path])
    wanted = members(seam)
    assert wanted - members(fake) == set()
    assert find_mismatches(fake, seam, wanted) == {}


@pytest.mark.parametrize("path", STAND_INS)
def test_partial_fake_accepts_the_arguments_of_the_real_methods(path: str):
    fake, real = find(path), find(STAND_INS[path])
    methods = {name for name in vars(fake) if not name.startswith("_") and inspect.isfunction(vars(fake)[name])}
    shared = methods & members(real)
    assert shared
    assert find_mismatches(fake, real, shared) == {}


def test_every_fake_is_compared_with_an_interface():
    known = {*SEAMS, *STAND_INS, *OF_FUNCTIONS}
    found = set()
    for path in [*(ROOT / "api").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found |= {f"{module}.{name}" for name in re.findall(r"^class (Fake\w+)", path.read_text(), re.MULTILINE)}
    assert found - known == set()


class Interface:
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
def test_different_arguments_are_found(fake: type, is_fit: bool):
    assert (find_mismatches(fake, Interface, {"take"}) == {}) is is_fit
