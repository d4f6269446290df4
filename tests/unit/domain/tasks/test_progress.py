from dataclasses import replace
from typing import Any

import pytest

from api.domain.tasks.progress import NO_PROGRESS, ProgressReport, Stage


def test_report_is_read_as_stored():
    progress = replace(NO_PROGRESS.progress, stage=Stage.SAVING, current_step=7, eta_seconds=1.5)
    report = replace(NO_PROGRESS, progress=progress, warnings=("slow",), attempt="t.1")
    assert ProgressReport.from_json(report.as_json()) == report


@pytest.mark.parametrize("stored", [{}, {"progress": {}}, {"progress": None, "metrics": None, "warnings": None}])
def test_fields_missing_in_an_earlier_version_are_unknown(stored: dict[str, Any]):
    report = ProgressReport.from_json(stored)
    assert report == replace(NO_PROGRESS, progress=replace(NO_PROGRESS.progress, overall_progress=None))


def test_fields_of_a_later_version_are_ignored():
    stored = NO_PROGRESS.as_json()
    stored["progress"] |= {"stage": "dreaming", "colour": "blue"}
    assert ProgressReport.from_json({**stored, "mood": "good"}) == NO_PROGRESS


def test_report_without_pace_has_no_speed_and_no_remaining_time():
    progress = replace(NO_PROGRESS.progress, current_step=7, eta_seconds=1.5, eta_formatted="2s")
    report = replace(NO_PROGRESS, progress=progress, speed=replace(NO_PROGRESS.speed, time_per_step=0.5))
    assert report.without_pace() == replace(NO_PROGRESS, progress=replace(NO_PROGRESS.progress, current_step=7))
