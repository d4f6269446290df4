from api.domain.finding import codes_of, make_finding
from api.domain.reason import Reason
from api.trainers.diffusion_pipe.findings import Findings
from api.util.validation import MAX_MISTAKES


def test_equal_findings_count_once():
    findings = Findings()
    for _ in range(3):
        findings.error("/a", "rank_not_whole")
        findings.warn("/a", "key_unknown", name="x")
    assert findings.errors == (make_finding("/a", "rank_not_whole"),)
    assert findings.warnings == (make_finding("/a", "key_unknown", name="x"),)
    assert findings.error_count == 1


def test_risk_is_an_error_unless_accepted():
    careful, bold = Findings(), Findings(accepts_risks=True)
    for findings in (careful, bold):
        findings.risk("/a", "format_may_run_code", name="a.bin")
    assert (len(careful.errors), len(careful.warnings)) == (1, 0)
    assert (len(bold.errors), len(bold.warnings)) == (0, 1)


def test_findings_above_the_limit_are_only_counted():
    findings = Findings()
    for number in range(MAX_MISTAKES + 5):
        assert findings.stores_warnings == (number < MAX_MISTAKES)
        findings.error(f"/{number}", "rank_not_whole")
        findings.warn(f"/{number}", "ignored_by_lora")
    findings.error("/0", "rank_not_whole")
    assert findings.error_count == MAX_MISTAKES + 5
    assert len(findings.errors) == len(findings.warnings) == MAX_MISTAKES + 1
    assert "5 more" in findings.errors[-1].message


def test_findings_about_another_file_point_to_its_path():
    inner, outer = Findings(), Findings()
    inner.error("/directory/0", "rank_not_whole")
    inner.warn("", "key_unknown", name="x")
    outer.merge(inner, "/config/eval/datasets/0", "In eval.toml")
    (error,), (warning,) = outer.errors, outer.warnings
    assert (error.pointer, error.message) == (
        "/config/eval/datasets/0",
        "In eval.toml, at /directory/0: The rank is not a whole number.",
    )
    message, remedy = codes_of(error)
    assert message is not None
    assert (message.code, message.params["inner"]["code"]) == ("in_other_file", "rank_not_whole")
    assert remedy is not None
    assert (error.remedy, remedy.code) == ("Set a whole number, for example 32.", "rank_not_whole_remedy")
    assert warning.message == "In eval.toml: The trainer does not know `x` and ignores it."


def test_accepted_risk_does_not_advise_to_accept_it():
    refused, accepted = Findings(), Findings(accepts_risks=True)
    for findings in (refused, accepted):
        advice = Reason.of("Run the service with ALLOW_PICKLED_WEIGHTS=1.", "advice_allow")
        findings.risk("/config/model/vae", "format_may_run_code", advice, name="a.pth")
    assert "ALLOW_PICKLED_WEIGHTS" in (refused.errors[0].remedy or "")
    assert (accepted.errors, "ALLOW" in (accepted.warnings[0].remedy or "")) == ((), False)
