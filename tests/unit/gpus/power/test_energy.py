"""The energy of tasks: exact by the GPU's counter across restarts and resumes, and never counted twice."""

from dataclasses import replace

import pytest

from api.domain.tasks.training import ResumeOptions
from api.gpus.power.energy import STORE_SECONDS, EnergyBook, EnergyMeter, EnergyStore
from api.training.views import EnergyView
from tests.unit.trainings import TrainingMachine


class Metered:
    """A machine whose first GPU uses 100 W when idle and 400 W while it trains."""

    def __init__(self, machine: TrainingMachine, *, has_counter: bool = True) -> None:
        self.machine = machine
        self.has_counter = has_counter
        self.counter = 5_000.0
        self.store = EnergyStore(machine.database)
        self.book = EnergyBook(self.store, 0.5, "EUR")
        self.servers = [self.start_server()]

    def start_server(self) -> EnergyMeter:
        return EnergyMeter(self.store, self.machine.gpus, self.machine.clock)

    def use(self, seconds: float, watts: float = 400.0, *, is_measured: bool = True, step: float = 5.0) -> None:
        """Let the GPU use energy, with or without a server that reads it."""
        for _ in range(round(seconds / step)):
            self.machine.clock.advance(step)
            self.counter += watts * step
            counter = self.counter if self.has_counter else None
            vitals = replace(self.machine.source.vitals[0], power_watts=watts, energy_joules=counter)
            self.machine.source.vitals[0] = vitals
            if is_measured:
                self.read()

    def read(self) -> None:
        self.machine.gpus._monitor.sweep()
        for server in self.servers:
            server.run_once()

    def begin(self, task_id: str = "a") -> None:
        self.machine.run(task_id)
        self.use(5, 0.0)

    def end(self, task_id: str = "a") -> None:
        self.machine.end(task_id)
        self.read()

    def find(self, task_id: str = "a") -> EnergyView | None:
        return self.book.of([task_id]).get(task_id)

    def joules(self, task_id: str = "a") -> tuple[float, bool]:
        found = self.store.of([task_id])[task_id]
        return found.joules, found.is_partial


@pytest.fixture
def metered(machine: TrainingMachine) -> Metered:
    return Metered(machine)


def test_energy_and_cost_of_a_training(metered: Metered):
    metered.use(60, 100.0)
    metered.begin()
    assert metered.find() is None
    metered.use(3_600, step=30.0)
    metered.end()
    metered.use(600, 100.0)
    assert metered.find() == EnergyView(0.4, 0.2, "EUR", False)


def test_without_a_counter_the_power_is_added_up(machine: TrainingMachine):
    metered = Metered(machine, has_counter=False)
    metered.begin()
    metered.use(600)
    metered.end()
    assert metered.joules() == (pytest.approx(240_000, rel=0.01), False)


def test_energy_is_unknown_without_readings(metered: Metered):
    metered.has_counter = False
    metered.machine.run()
    metered.machine.source.vitals[0] = replace(metered.machine.source.vitals[0], power_watts=None)
    metered.read()
    metered.end()
    assert metered.find() is None


def test_counter_is_exact_across_a_kill_while_the_training_goes_on(metered: Metered):
    metered.begin()
    metered.use(100)
    metered.servers = []
    metered.use(1_000, is_measured=False)
    metered.servers = [metered.start_server()]
    metered.use(100)
    metered.end()
    assert metered.joules() == (1_200 * 400, False)


def test_end_without_a_server_makes_the_energy_partial(metered: Metered):
    metered.begin()
    metered.use(300)
    metered.machine.end()
    metered.machine.free_gpus()
    metered.servers = [metered.start_server()]
    metered.use(300, 100.0)
    joules, is_partial = metered.joules()
    assert 300 * 400 - STORE_SECONDS * 400 <= joules <= 300 * 400
    assert is_partial


def test_resumed_training_adds_up_and_leaves_out_the_time_between(metered: Metered):
    metered.begin()
    metered.use(200)
    metered.machine.saves(1)
    metered.machine.request_task_stop()
    metered.end()
    metered.machine.free_gpus()
    metered.use(500, 100.0)
    machine = metered.machine
    machine.parts.services.service.resume("a", ResumeOptions(), lambda _: {}, "ann")
    machine.train()
    machine.free_gpus()
    metered.use(5, 0.0)
    metered.use(100)
    metered.end()
    assert metered.joules() == (300 * 400, False)


def test_servers_on_one_database_count_once(metered: Metered):
    metered.servers.append(metered.start_server())
    metered.begin()
    metered.use(300)
    metered.end()
    assert metered.joules() == (300 * 400, False)


def test_servers_without_a_counter_count_once(machine: TrainingMachine):
    metered = Metered(machine, has_counter=False)
    metered.servers.append(metered.start_server())
    metered.begin()
    metered.use(300)
    metered.end()
    assert metered.joules() == (pytest.approx(300 * 400, rel=0.05), False)


def test_restarted_driver_makes_the_energy_partial(metered: Metered):
    metered.begin()
    metered.use(100)
    metered.counter = 0.0
    metered.use(200)
    metered.end()
    joules, is_partial = metered.joules()
    assert 100 * 400 <= joules <= 300 * 400
    assert is_partial


def test_deleted_training_leaves_no_energy(metered: Metered):
    metered.begin()
    metered.use(60)
    metered.end()
    metered.machine.free_gpus()
    metered.machine.tasks.delete("a", metered.machine.clock.now())
    assert metered.store.of(["a"]) == {}
