"""The use cases of power limits: set, show and remove one, and the loop that tells each GPU its limit."""

import logging
from collections.abc import Sequence

from api.domain.finding import make_finding
from api.domain.reason import Reason, text_of
from api.domain.tasks.schedule import Schedule, Window, check_time_zone
from api.errors import Conflict, FindingText, GPUNotFound, Invalid
from api.gpus.health.judgement import JudgedGPU
from api.gpus.lookup import find_gpu
from api.gpus.power.store import PowerLimit, PowerLimitStore
from api.gpus.power.views import LimitHours, PowerLimitView
from api.gpus.service import GPUService
from api.gpus.wanted_power import WantedLimits, is_same_limit
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

ROUND_SECONDS = 10.0


class PowerLimits:
    """Sets, shows and removes power limits. The readers of the GPUs carry them out, between two readings."""

    def __init__(self, store: PowerLimitStore, gpus: GPUService, clock: Clock) -> None:
        self._store = store
        self._gpus = gpus
        self._clock = clock
        self.thread = PeriodicThread("power-limits", ROUND_SECONDS, self.run_once)

    @property
    def _wanted(self) -> WantedLimits:
        return self._gpus.power_limits

    def show(self, reference: str) -> PowerLimitView:
        """Return the power limit of a GPU. Raise GPUNotFound or DatabaseUnavailable."""
        gpu, uuid = self._find(reference)
        return self._show(gpu, uuid, next((each for each in self._store.list() if each.gpu_uuid == uuid), None))

    def put(
        self, reference: str, watts: float, time_zone: str, windows: Sequence[Window], actor: str
    ) -> PowerLimitView:
        """Set the power limit of a GPU. Raise GPUNotFound, Conflict, Invalid or DatabaseUnavailable."""
        gpu, uuid = self._find(reference)
        if gpu.node != self._gpus.state.node:
            raise Conflict(f"This GPU belongs to {gpu.node}. Set its power limit at a server on that machine.")
        lowest, highest = gpu.identity.power_min_limit_watts, gpu.identity.power_max_limit_watts
        current = gpu.condition.power_limit_watts
        if lowest is None or highest is None or current is None:
            raise Conflict("The driver reports no power limit of this GPU, so it cannot be changed.")
        mistakes = []
        if not lowest <= watts <= highest:
            mistakes.append(
                make_finding(
                    "/watts",
                    FindingText(
                        "power_limit_range",
                        "{watts} W is outside of what this GPU accepts.",
                        "Choose between {lowest} and {highest} W.",
                    ),
                    watts=watts,
                    lowest=lowest,
                    highest=highest,
                )
            )
        mistakes += check_time_zone(time_zone)
        if mistakes:
            raise Invalid(mistakes=mistakes)
        hours = Schedule(time_zone, tuple(windows))
        self._store.put(PowerLimit(uuid, gpu.node, watts, current, hours, False, self._clock.now(), actor))
        self._wanted.forget_refusal(uuid)
        return self._changed(reference)

    def remove(self, reference: str, actor: str) -> PowerLimitView:
        """Restore the limit that the GPU had before. Raise GPUNotFound or DatabaseUnavailable."""
        _, uuid = self._find(reference)
        if self._store.remove(uuid, self._clock.now(), actor):
            self._wanted.forget_refusal(uuid)
        return self._changed(reference)

    def _changed(self, reference: str) -> PowerLimitView:
        self.run_once()
        self._gpus.sweep_soon()
        return self.show(reference)

    def run_once(self) -> None:
        """Compute which limit each GPU of this machine should have now. Raise DatabaseUnavailable: they stay."""
        stored = self._store.list()
        now, wanted = self._clock.now(), dict[str, float]()
        for limit in stored:
            if limit.node != self._gpus.state.node:
                continue
            if not limit.is_removed and limit.hours.opening(now).is_open:
                wanted[limit.gpu_uuid] = limit.watts
                continue
            gpu = self._gpus.state.by_uuid.get(limit.gpu_uuid)
            current = None if gpu is None else gpu.condition.power_limit_watts
            is_ours = any(is_same_limit(current, own) for own in (limit.watts, self._wanted.find_own(limit.gpu_uuid)))
            if is_ours and not is_same_limit(current, limit.restore_watts):
                wanted[limit.gpu_uuid] = limit.restore_watts
            elif limit.is_removed and current is not None:
                # It was restored, or never set, or someone else has changed it since: that stays.
                self._store.forget(limit.gpu_uuid)
        self._wanted.wanted = wanted

    def _find(self, reference: str) -> tuple[JudgedGPU, str]:
        gpu = find_gpu(self._gpus.state, reference)
        if gpu.reading.uuid is None:
            raise GPUNotFound(f"The UUID of GPU {reference[:80]} is unknown, so it has no limit. Check its health.")
        return gpu, gpu.reading.uuid

    def _show(self, gpu: JudgedGPU, uuid: str, limit: PowerLimit | None) -> PowerLimitView:
        problem, identity = self._wanted.find_problem(uuid), gpu.identity
        hours = Schedule() if limit is None else limit.hours
        is_set = limit is not None and not limit.is_removed
        return PowerLimitView(
            gpu.reading.index,
            uuid,
            limit.watts if limit is not None and is_set else None,
            tuple(LimitHours(each.days, f"{each.begins:%H:%M}", f"{each.ends:%H:%M}") for each in hours.windows),
            hours.time_zone,
            is_set and hours.opening(self._clock.now()).is_open,
            gpu.condition.power_limit_watts,
            None if limit is None else limit.restore_watts,
            identity.power_default_limit_watts,
            identity.power_min_limit_watts,
            identity.power_max_limit_watts,
            None if problem is None else text_of(problem),
            problem.said if isinstance(problem, Reason) else None,
            limit.updated_by if limit is not None and is_set else None,
            limit.updated_at if limit is not None and is_set else None,
        )
