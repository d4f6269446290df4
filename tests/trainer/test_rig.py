"""The rig without a trainer."""

import sys
from pathlib import Path

from tests.trainer.rig import missing_reason


def test_reason_for_a_missing_trainer_is_one_line_that_names_what_is_missing(tmp_path: Path):
    reasons = [missing_reason(None, None), missing_reason(str(tmp_path), sys.executable)]
    (tmp_path / "train.py").touch()
    (tmp_path / "submodules" / "ComfyUI" / "comfy").mkdir(parents=True)
    reasons += [missing_reason(str(tmp_path), python) for python in ("/nowhere/python", sys.executable)]
    named = ("make test-trainer", "no checkout", "cannot be run", "lacks torch")
    assert [part for part, reason in zip(named, reasons, strict=True) if part not in (reason or "")] == []
    assert [reason for reason in reasons if "\n" in (reason or "\n")] == []
