from api.trainers.diffusion_pipe.checks.dataset_report import FoundItems, list_names, report
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.dataset.totals import Item


def test_files_with_one_problem_are_one_finding_at_their_directory():
    found, findings = FoundItems(items=[Item(8, 8)] * 3), Findings()
    for name in ("a.png", "b.png"):
        found.note("damaged", name)
    report(lambda key: f"/here/{key}", found, 5, findings)
    [error] = findings.errors
    assert (error.pointer, error.message.startswith("2 of 5 files")) == ("/here/path", True)
    assert error.message.endswith(": a.png, b.png.")


def test_problems_of_masks_point_to_the_mask_path():
    found, findings = FoundItems(items=[Item(8, 8)]), Findings()
    found.note("mask size", "a.png")
    report(lambda key: key, found, 1, findings)
    assert findings.errors[0].pointer == "mask_path"


def test_long_lists_of_names_are_shortened():
    assert list_names([f"{index}.png" for index in range(7)]) == "0.png, 1.png, 2.png, 3.png, 4.png and 2 more"
