from dataclasses import replace
from typing import Any

import pytest

from api.domain.progress import NOTHING_YET, ProgressReport, Stage


def test_report_is_read_as_it_was_kept():
    progress = replace(NOTHING_YET.progress, stage=Stage.SAVING, current_step=7, eta_seconds=1.5)
    report = replace(NOTHING_YET, progress=progress, warnings=("slow",), attempt="t.1")
    assert ProgressReport.from_json(report.as_json()) == report


@pytest.mark.parametrize("kept", [{}, {"progress": {}}, {"progress": None, "metrics": None, "warnings": None}])
def test_what_an_earlier_version_did_not_keep_is_unknown(kept: dict[str, Any]):
    report = ProgressReport.from_json(kept)
    assert report == replace(NOTHING_YET, progress=replace(NOTHING_YET.progress, overall_progress=None))


def test_what_only_a_later_version_knows_is_left_out():
    kept = NOTHING_YET.as_json()
    kept["progress"] |= {"stage": "dreaming", "colour": "blue"}
    assert ProgressReport.from_json({**kept, "mood": "good"}) == NOTHING_YET


def test_without_pace_neither_speed_nor_time_left_is_known():
    progress = replace(NOTHING_YET.progress, current_step=7, eta_seconds=1.5, eta_formatted="2s")
    report = replace(NOTHING_YET, progress=progress, speed=replace(NOTHING_YET.speed, time_per_step=0.5))
    assert report.without_pace() == replace(NOTHING_YET, progress=replace(NOTHING_YET.progress, current_step=7))
