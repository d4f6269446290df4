"""Reasons by which quotas keep tasks from starting."""

from datetime import timedelta

from api.domain.access.principal import Quota
from api.domain.tasks.usage import GB, Account
from api.training.queue import quota_reasons
from tests.unit.builders import NOW
from tests.unit.training.builders import task

HOURS = Account(Quota(gpu_hours_per_day=24), gpu_seconds=24 * 3600 + 90)


def test_reason_has_user_figures_and_quota():
    said = quota_reasons.waits_for_own("ann", Account(Quota(gpus=4), gpus=4), task("a"), 4)
    assert said.text == "waits for 1 of ann's 4 GPUs: the quota is 4 at a time"
    assert said.said.code == "quota_gpus"
    assert said.said.params == {"missing": 1, "user": "ann", "used": 4, "limit": 4, "requested": 1}


def test_reason_says_when_hours_return_if_known():
    from_then = Account(HOURS.quota, 0, HOURS.gpu_seconds, NOW + timedelta(hours=14, minutes=20))
    said = quota_reasons.has_used_hours("ann", from_then)
    expected = "ann has used 24.0 of 24 GPU hours of the last day; the next are free about 14:20 UTC"
    assert (said.text, said.said.params["free_at"]) == (expected, "2026-01-01T14:20:00+00:00")
    assert quota_reasons.has_used_hours("ann", HOURS).text == "ann has used 24.0 of 24 GPU hours of the last day"


def test_reasons_say_what_to_do():
    full = Account(Quota(storage_gb=1.5), storage_bytes=2 * GB)
    assert quota_reasons.has_filled_storage("ann", full).text == (
        "ann's trainings, datasets and downloads take 2.0 of 1.5 GB of disk: delete finished trainings together "
        "with their files, or datasets; an administrator can remove downloaded models"
    )
    assert "request fewer" in quota_reasons.needs_more("ann", 2, 4).text
    assert "stop one" in quota_reasons.has_filled_queue("ann", 5).text
    assert quota_reasons.would_fill_queue("ann", 3, 1, 4).text == (
        "these are 4 tasks, and ann may queue 2 more, as the maximum is 3: queue fewer at once"
    )


def test_task_behind_another_of_its_owner_shows_its_name():
    assert quota_reasons.reserved_for_own("ann", 4, "t1", {"t1": "portrait"}).text == (
        "waits behind portrait, for which the rest of ann's 4 GPUs at a time is reserved"
    )
