"""Whether a loss still falls: its smoothed value over the last fifth of all steps."""

from collections import deque

from api.alerts.evaluation import UNKNOWN

#: How much of a new loss goes into the smoothed one.
_WEIGHT = 0.02

#: Samples in which the last fifth is kept at most.
_SAMPLES = 200

#: The share of all steps that is looked back over, and the change in it that is none.
_SHARE, _FLAT = 0.2, 0.001

#: Epochs before which nothing is said: the first ones always fall.
_EPOCHS = 2


class LossPlateau:
    """The smoothed loss of one attempt."""

    def __init__(self) -> None:
        self._smooth: float | None = None
        self._samples: deque[tuple[int, float]] = deque()
        self._flat_since: int | None = None

    def add(self, step: int, loss: float, total: int | None) -> None:
        """Takes the loss of a step, of `total` steps."""
        self._smooth = loss if self._smooth is None else self._smooth + _WEIGHT * (loss - self._smooth)
        if not total:
            return
        spacing = max(1, round(total * _SHARE / _SAMPLES))
        if not self._samples or step - self._samples[-1][0] >= spacing:
            self._samples.append((step, self._smooth))
        while len(self._samples) > 1 and step - self._samples[1][0] >= total * _SHARE:
            self._samples.popleft()
        if not self._is_flat(step, total):
            self._flat_since = None
        elif self._flat_since is None:
            self._flat_since = step

    def _is_flat(self, step: int, total: int) -> bool:
        first, level = self._samples[0], self._samples[0][1]
        if self._smooth is None or step - first[0] < total * _SHARE or level == 0:
            return False
        # One that rises does not improve either.
        return (level - self._smooth) / abs(level) < _FLAT

    def percent(self, step: int | None, epoch: int | None, total: int | None) -> float:
        """For how much of all steps the loss has not fallen; NaN while too little is known."""
        if step is None or not total or epoch is None or epoch <= _EPOCHS:
            return UNKNOWN
        if step - (self._samples[0][0] if self._samples else step) < total * _SHARE:
            return UNKNOWN
        return 0.0 if self._flat_since is None else 100.0 * (step - self._flat_since) / total
