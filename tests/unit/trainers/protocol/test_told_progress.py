from collections.abc import Mapping

import pytest

from api.domain.progress import Stage
from api.trainers.protocol.told_progress import ToldProgressReader


def test_done_and_left_are_what_the_program_tells():
    reader = ToldProgressReader(12)
    reader.told.done_percent, reader.told.seconds_left = 40.0, 60.0
    assert (reader.progress.overall_progress, reader.progress.eta_seconds) == (40.0, 60.0)
    assert (reader.progress.stage, reader.progress.total_steps) == (Stage.TRAINING, 12)


def test_it_goes_on_from_what_it_saved():
    reader, again = ToldProgressReader(12), ToldProgressReader(12)
    told = reader.told
    told.step, told.activity, told.done_percent = 3, "working", 40.0
    told.phrases.add("done")
    told.warnings.append("again")
    again.restore(reader.save())
    assert again.save() == reader.save()


@pytest.mark.parametrize("note", [{"step": "x"}, {"percent": "x"}, {"activity": 5}])
def test_a_damaged_note_is_refused(note: Mapping[str, object]):
    with pytest.raises((TypeError, ValueError)):
        ToldProgressReader(1).restore(note)
