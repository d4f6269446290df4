"""Schemas of requests about the schedule and pauses, and of their answers."""

from dataclasses import replace
from datetime import time
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from api.domain.machines.reading import MAX_MEMORY_MB
from api.domain.tasks.schedule import Day, Window
from api.training.schemas import Why
from api.util.http.validation import ONE_LINE, Strict

#: A window for each half hour of the week would be 336.
MOST_WINDOWS = 100

#: A pause is not meant to take a GPU out of service.
LONGEST_PAUSE = 7 * 24 * 3600

#: A program renews its claim, so that it ends soon after the program.
LONGEST_CLAIM = 24 * 3600

#: Names become part of addresses.
ClaimName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:@-]*$")]

LocalTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
GPUName = Annotated[str, Field(min_length=1, max_length=100, pattern=ONE_LINE)]

_WINDOW: dict[str, Any] = {
    "days": ["mon", "tue", "wed", "thu", "fri"],
    "begins": "22:00",
    "ends": "07:00",
    "gpus": None,
}
_EXAMPLE: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "windows": [_WINDOW, {"days": ["sat", "sun"], "begins": "00:00", "ends": "00:00"}],
}


class HoursBody(Strict):
    """Hours on some days of the week."""

    model_config = ConfigDict(strict=True)

    days: list[Annotated[Day, Field(strict=False)]] = Field(
        min_length=1, max_length=7, description="the days on which it begins"
    )
    begins: LocalTime = Field(description="local time, such as 22:00")
    ends: LocalTime = Field(
        description="local time; on the next day if it is not after `begins`, so that equal times mean 24 hours"
    )

    def window(self) -> Window:
        """Return the window for the service."""
        days = tuple(day for day in Day if day in self.days)
        return Window(days, time.fromisoformat(self.begins), time.fromisoformat(self.ends))


class WindowBody(HoursBody):
    """Hours on some days of the week in which trainings may run."""

    gpus: list[GPUName] | None = Field(
        None, min_length=1, max_length=1000, description="the GPUs to which it applies, by index or UUID; null: all"
    )

    def window(self) -> Window:
        """Return the window for the service."""
        return replace(super().window(), gpus=tuple(self.gpus or ()))


class ReplaceSchedule(Strict):
    """When trainings may run."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": _EXAMPLE})

    time_zone: str = Field("UTC", max_length=64, description="name in the IANA database, such as Europe/Berlin")
    windows: list[WindowBody] = Field(
        max_length=MOST_WINDOWS, description="empty: trainings may always run, as on a GPU to which no window applies"
    )


class SetPowerLimit(Strict):
    """The power limit of a GPU, and when it applies."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"watts": 300}})

    watts: float = Field(gt=0, le=10_000, description="within the limits of the board")
    time_zone: str = Field("UTC", max_length=64, description="name in the IANA database, such as Europe/Berlin")
    windows: list[HoursBody] = Field(
        [],
        max_length=MOST_WINDOWS,
        description="hours in which it applies; empty: always",
    )


class PauseGPU(Strict):
    """How long a GPU is paused."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"seconds": 7200}})

    seconds: float = Field(gt=0, le=LONGEST_PAUSE, description="until trainings may use it again")
    reason: Why = Field("paused", description="shown to everyone")


class ClaimGPU(Strict):
    """Which program uses a GPU, and for how long."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"example": {"name": "ComfyUI", "memory_mb": 12000, "ttl_seconds": 120}}
    )

    name: ClaimName = Field(description="the program, shown to everyone; the same name renews the claim")
    memory_mb: int | None = Field(None, ge=1, le=MAX_MEMORY_MB, description="memory that it needs; null: unknown")
    ttl_seconds: float = Field(gt=0, le=LONGEST_CLAIM, description="until the claim expires")
