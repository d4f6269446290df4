"""Durations and repetitions of measurements."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """Durations and counts of one run. Counts of sweeps are multiples of 6: a sweep reads all values every 30 s."""

    rounds: int = 7
    load_seconds: int = 3
    sweeps: int = 240
    sweeps_of_many: int = 60
    scrapes: int = 200
    renders: int = 40
    clients: int = 1000
    stream_seconds: int = 20
    starts: int = 3
    idle_seconds: int = 15
    trainings: int = 20
    passes: int = 20
    tasks: int = 100_000
    items: int = 100_000
    requests: int = 100
    claims: int = 4000
    watch_seconds: int = 20
    followers: int = 500
    live_seconds: int = 20
    soak_requests: int = 30_000
    upload_mb: int = 1024
    images: int = 10_000


FULL = Effort()
QUICK = Effort(
    rounds=2,
    load_seconds=1,
    sweeps=24,
    sweeps_of_many=6,
    scrapes=20,
    renders=5,
    clients=100,
    stream_seconds=4,
    starts=1,
    idle_seconds=3,
    trainings=4,
    passes=3,
    tasks=5000,
    items=5000,
    requests=20,
    claims=320,
    watch_seconds=5,
    followers=50,
    live_seconds=5,
    soak_requests=1_200,
    upload_mb=64,
    images=400,
)
