from api.domain.finding import codes_of, make_finding
from api.domain.reason import Reason
from api.errors import FindingText
from api.trainers.diffusion_pipe.config.findings import Findings
from api.util.http.validation import MAX_MISTAKES

ROTTEN = FindingText("rotten", "The apple is rotten.", "Take another one.")
UNKNOWN = FindingText("unknown", "There is no `{name}`.")


def test_equal_findings_count_once():
    findings = Findings()
    for _ in range(3):
        findings.error("/a", ROTTEN)
        findings.warn("/a", UNKNOWN, name="x")
    assert findings.errors == (make_finding("/a", ROTTEN),)
    assert findings.warnings == (make_finding("/a", UNKNOWN, name="x"),)
    assert findings.error_count == 1


def test_risk_is_an_error_unless_accepted():
    careful, bold = Findings(), Findings(accepts_risks=True)
    for findings in (careful, bold):
        findings.risk("/a", UNKNOWN, name="a.bin")
    assert (len(careful.errors), len(careful.warnings)) == (1, 0)
    assert (len(bold.errors), len(bold.warnings)) == (0, 1)


def test_findings_above_the_limit_are_only_counted():
    findings = Findings()
    for number in range(MAX_MISTAKES + 5):
        assert findings.stores_warnings == (number < MAX_MISTAKES)
        findings.error(f"/{number}", ROTTEN)
        findings.warn(f"/{number}", UNKNOWN, name="x")
    findings.error("/0", ROTTEN)
    assert findings.error_count == MAX_MISTAKES + 5
    assert len(findings.errors) == len(findings.warnings) == MAX_MISTAKES + 1
    assert "5 more" in findings.errors[-1].message


def test_findings_about_another_file_point_to_its_path():
    inner, outer = Findings(), Findings()
    inner.error("/directory/0", ROTTEN)
    inner.warn("", UNKNOWN, name="x")
    outer.merge(inner, "/config/eval/datasets/0", "In eval.toml")
    (error,), (warning,) = outer.errors, outer.warnings
    assert (error.pointer, error.message) == (
        "/config/eval/datasets/0",
        "In eval.toml, at /directory/0: The apple is rotten.",
    )
    message, remedy = codes_of(error)
    assert message is not None
    assert (message.code, message.params["inner"]["code"]) == ("in_other_file", "rotten")
    assert remedy is not None
    assert (error.remedy, remedy.code) == ("Take another one.", "rotten_remedy")
    assert warning.message == "In eval.toml: There is no `x`."


def test_accepted_risk_does_not_advise_to_accept_it():
    refused, accepted = Findings(), Findings(accepts_risks=True)
    for findings in (refused, accepted):
        advice = Reason.of("Run the service with ALLOW_PICKLED_WEIGHTS=1.", "advice_allow")
        findings.risk("/config/model/vae", UNKNOWN, advice, name="a.pth")
    assert "ALLOW_PICKLED_WEIGHTS" in (refused.errors[0].remedy or "")
    assert (accepted.errors, "ALLOW" in (accepted.warnings[0].remedy or "")) == ((), False)
