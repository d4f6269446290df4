from prometheus_client import CollectorRegistry, generate_latest

from api.domain.training import TaskStatus
from api.errors import DatabaseUnavailable
from api.training.counts import TrainingCounts
from api.util.clock import FakeClock


class Counting:
    """Counts of trainings that may be unavailable."""

    def __init__(self) -> None:
        self.is_away = False

    def __call__(self) -> dict[TaskStatus, int]:
        if self.is_away:
            raise DatabaseUnavailable
        return {TaskStatus.RUNNING: 2}


def shown(counts: TrainingCounts) -> str:
    registry = CollectorRegistry()
    registry.register(counts)
    return generate_latest(registry).decode()


def test_counts_are_current(clock: FakeClock):
    text = shown(TrainingCounts(Counting(), clock))
    assert 'diffusion_pipe_trainings{status="running"} 2.0' in text
    assert "diffusion_pipe_trainings_age_seconds 0.0" in text


def test_last_counts_are_shown_with_their_age_while_the_database_is_unavailable(clock: FakeClock):
    counting = Counting()
    counts = TrainingCounts(counting, clock)
    shown(counts)
    counting.is_away = True
    clock.advance(30)
    assert 'diffusion_pipe_trainings{status="running"} 2.0' in shown(counts)
    assert "diffusion_pipe_trainings_age_seconds 30.0" in shown(counts)


def test_unknown_counts_are_omitted(clock: FakeClock):
    counting = Counting()
    counting.is_away = True
    assert "diffusion_pipe_trainings" not in shown(TrainingCounts(counting, clock))
