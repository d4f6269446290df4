from collections.abc import Mapping

import pytest

from api.domain.progress import Stage
from api.trainers.protocol.reported_progress import ReportedProgressReader


def test_percentage_and_remaining_time_are_the_reported_ones():
    reader = ReportedProgressReader(12)
    reader.reported.done_percent, reader.reported.seconds_left = 40.0, 60.0
    assert (reader.progress.overall_progress, reader.progress.eta_seconds) == (40.0, 60.0)
    assert (reader.progress.stage, reader.progress.total_steps) == (Stage.TRAINING, 12)


def test_reader_restores_its_saved_state():
    reader, again = ReportedProgressReader(12), ReportedProgressReader(12)
    reported = reader.reported
    reported.step, reported.activity, reported.done_percent = 3, "working", 40.0
    reported.phrases.add("done")
    reported.warnings.append("again")
    again.restore(reader.save())
    assert again.save() == reader.save()


@pytest.mark.parametrize("note", [{"step": "x"}, {"percent": "x"}, {"activity": 5}])
def test_damaged_state_is_rejected(note: Mapping[str, object]):
    with pytest.raises((TypeError, ValueError)):
        ReportedProgressReader(1).restore(note)
