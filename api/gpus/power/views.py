"""Power limits and energy as the API shows them."""

from dataclasses import dataclass
from datetime import datetime

from api.domain.reason import ReasonCode
from api.domain.tasks.schedule import Day


@dataclass(frozen=True, slots=True)
class LimitHours:
    """Hours on some days of the week in which a power limit applies."""

    days: tuple[Day, ...]  #: the days on which they begin
    begins: str  #: local time, such as 22:00
    ends: str  #: local time; on the next day if it is not after `begins`


@dataclass(frozen=True, slots=True)
class PowerLimitView:
    """The power limit of a GPU. Without `watts`, this service does not change it."""

    gpu_id: int | None  #: its index; null if the driver does not list it now
    uuid: str
    watts: float | None  #: the limit that a user has set; null: none
    windows: tuple[LimitHours, ...]  #: when it applies; empty: always
    time_zone: str  #: name in the IANA database
    is_active: bool  #: whether it applies now
    current_watts: float | None  #: the limit that the driver reports; null if unknown
    restore_watts: float | None  #: the limit outside of its hours and after its removal; null: unknown
    default_watts: float | None  #: the vendor's limit; null if unknown
    min_watts: float | None  #: the lowest limit that can be set; null if unknown
    max_watts: float | None  #: the highest limit that can be set; null if unknown
    problem: str | None  #: why the driver refuses it, and what to do; null if it does not
    problem_code: ReasonCode | None  #: code and parameters of the problem, for programs and translations
    set_by: str | None  #: who set it; null: no user
    set_at: datetime | None  #: when it was set; null: by no user


@dataclass(frozen=True, slots=True)
class EnergyView:
    """The energy that the GPUs of a training used, over all attempts."""

    kwh: float  #: over all attempts, without the rest of the machine
    cost: float | None  #: by PRICE_PER_KWH; null: that is not set
    currency: str | None  #: PRICE_CURRENCY; null: that is not set
    is_partial: bool  #: whether some of the time could not be measured, so that it used more
