from pathlib import Path
from typing import Any

from api.executors.fake import FakeExecutor, outcome
from api.training.lost_output import LostOutput
from tests.unit.trainings import TrainingMachine


def test_it_is_counted_by_outcomes_and_by_the_word_of_who_runs(machine: TrainingMachine):
    machine.run()
    lost = LostOutput(machine.executor, machine.root)
    assert lost.count(machine.attempts.of_task("a")) is None
    machine.executor.loses(machine.uid(), 5)
    assert lost.count(machine.attempts.of_task("a")) == 5
    machine.end(how=outcome(exit_code=1, log_lost_bytes=7))
    assert lost.count(machine.attempts.of_task("a")) == 7


def test_an_outcome_that_says_nothing_of_it_counts_for_nothing(machine: TrainingMachine):
    machine.run()
    attempt: Any = machine.attempt()
    object.__setattr__(attempt, "outcome", {"log_lost_bytes": "x"})
    assert LostOutput(FakeExecutor(), Path("/")).count([attempt]) is None
