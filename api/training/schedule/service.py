"""The use cases of the schedule: show and replace when trainings may run."""

from collections.abc import Callable, Sequence

from api.domain.tasks.schedule import Schedule, Window, check_time_zone
from api.errors import Invalid
from api.gpus.offers import list_offers
from api.gpus.service import GPUService
from api.training.schedule.store import ScheduleStore
from api.training.schedule.views import GPUOpening, ScheduleView, ScheduleWindow
from api.util.clock import Clock


class ScheduleService:
    """Shows and replaces the schedule. `wake` triggers the training loop immediately."""

    def __init__(self, store: ScheduleStore, gpus: GPUService, clock: Clock, wake: Callable[[], None]) -> None:
        self._store = store
        self._gpus = gpus
        self._clock = clock
        self._wake = wake

    def show(self) -> ScheduleView:
        """Return the schedule and what it means now. Raise DatabaseUnavailable."""
        now, schedule = self._clock.now(), self._store.read()
        opening, openings, known = schedule.opening(now), list[GPUOpening](), set[str]()
        for gpu in list_offers(self._gpus.state):
            known.update(gpu.names)
            found = schedule.opening(now, gpu.names)
            openings.append(GPUOpening(gpu.index, gpu.uuid, found.is_open, found.next_open, found.next_close))
        return ScheduleView(
            schedule.time_zone,
            tuple(map(_show, schedule.windows)),
            opening.is_open or any(gpu.is_open for gpu in openings),
            opening.next_open,
            opening.next_close,
            tuple(openings),
            tuple(dict.fromkeys(name for window in schedule.windows for name in window.gpus if name not in known)),
        )

    def replace(self, time_zone: str, windows: Sequence[Window], by: str) -> ScheduleView:
        """Store a new schedule. Raise Invalid or DatabaseUnavailable."""
        if mistakes := check_time_zone(time_zone):
            raise Invalid(mistakes=mistakes)
        self._store.replace(Schedule(time_zone, tuple(windows)), self._clock.now(), by)
        self._wake()
        return self.show()


def _show(window: Window) -> ScheduleWindow:
    return ScheduleWindow(window.days, f"{window.begins:%H:%M}", f"{window.ends:%H:%M}", window.gpus or None)
