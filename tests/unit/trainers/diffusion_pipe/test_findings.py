from api.errors import Finding
from api.trainers.diffusion_pipe.findings import Findings
from api.util.bounds import MAX_MISTAKES


def test_equal_findings_count_once():
    findings = Findings()
    for _ in range(3):
        findings.error("/a", "It is wrong.", "Mend it.")
        findings.warn("/a", "It is odd.")
    assert findings.errors == (Finding("/a", "It is wrong.", "Mend it."),)
    assert findings.warnings == (Finding("/a", "It is odd."),)
    assert findings.error_count == 1


def test_risk_is_an_error_unless_accepted():
    careful, bold = Findings(), Findings(accepts_risks=True)
    for findings in (careful, bold):
        findings.risk("/a", "It can hold code.")
    assert (len(careful.errors), len(careful.warnings)) == (1, 0)
    assert (len(bold.errors), len(bold.warnings)) == (0, 1)


def test_findings_above_the_limit_are_only_counted():
    findings = Findings()
    for number in range(MAX_MISTAKES + 5):
        assert findings.stores_warnings == (number < MAX_MISTAKES)
        findings.error(f"/{number}", "It is wrong.")
        findings.warn(f"/{number}", "It is odd.")
    findings.error("/0", "It is wrong.")
    assert findings.error_count == MAX_MISTAKES + 5
    assert len(findings.errors) == len(findings.warnings) == MAX_MISTAKES + 1
    assert "5 more" in findings.errors[-1].message


def test_findings_about_another_file_point_to_its_path():
    inner, outer = Findings(), Findings()
    inner.error("/directory/0", "It is wrong.", "Mend it.")
    inner.warn("", "It is odd.")
    outer.merge(inner, "/config/eval/datasets/0", "In eval.toml")
    (error,), (warning,) = outer.errors, outer.warnings
    assert error == Finding("/config/eval/datasets/0", "In eval.toml, at /directory/0: It is wrong.", "Mend it.")
    assert warning.message == "In eval.toml: It is odd."
