"""Check the options of a request that its trainer does not read: variables, notifications, automatic samples."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from api.domain.dataset import PinnedDataset
from api.domain.finding import finding_of, make_finding
from api.domain.reason import Reason
from api.domain.sample_set import RequestedSamples, SampleOrder
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import Finding, NotFound
from api.trainers.environment import check_env


class SampleCheck(Protocol):
    """Checks the automatic samples of requests."""

    def order(self, requested: RequestedSamples) -> SampleOrder:
        """Return the prompts and settings to render. Raise NotFound."""

    def find_problem(
        self, request: TrainingRequest, order: SampleOrder, datasets: Sequence[PinnedDataset]
    ) -> Finding | None:
        """Return why a training with this request and these datasets cannot be rendered so, or None."""


class OptionsCheck:
    """Checks options, without changing anything."""

    def __init__(
        self,
        cache_roots: Sequence[Path] = (),
        channel_names: Callable[[], Collection[str]] = lambda: (),
        samples: SampleCheck | None = None,
    ) -> None:
        """Create the check.

        `channel_names` returns the names of notification channels. Without `samples`, requests for samples are
        rejected.
        """
        self._cache_roots = cache_roots
        self._channel_names = channel_names
        self._samples = samples

    def find_mistakes(self, request: TrainingRequest) -> list[Finding]:
        """Return the errors in variables and notifications."""
        return [*check_env(request.env, self._cache_roots), *self._notice_mistakes(request)]

    def _notice_mistakes(self, request: TrainingRequest) -> list[Finding]:
        if request.notify is None:
            return []
        known = sorted(self._channel_names())
        remedy = (
            Reason.of("Existing channels: {channels}.", "advice_channels", channels=", ".join(known))
            if known
            else Reason.of("There are no channels yet. An administrator can create them.", "advice_no_channels")
        )
        return [
            make_finding(f"/notify/channels/{index}", "channel_unknown", remedy=remedy, name=name)
            for index, name in enumerate(request.notify.channels)
            if name not in known
        ]

    def check_samples(
        self, request: TrainingRequest, plan: TrainingPlan | None
    ) -> tuple[SampleOrder | None, list[Finding]]:
        """Return the automatic samples of a request, and the errors in them."""
        requested = request.samples
        if requested is None or request.cache_only or request.rehearsal:
            return None, []
        if self._samples is None:
            return None, [make_finding("/samples", "samples_unsupported")]
        try:
            order = self._samples.order(requested)
        except NotFound as problem:
            return None, [finding_of("/samples/sample_set", problem)]
        found = self._samples.find_problem(request, order, () if plan is None else plan.datasets)
        return order, [] if found is None else [found]
