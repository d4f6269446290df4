"""The OpenAPI document passes the Spectral linter."""

from pathlib import Path

from tests.clients.conftest import HERE, run


def test_spectral_reports_no_problem(tools: Path, document_file: Path):
    said = run(
        tools / "spectral", "lint", "--fail-severity", "hint", "--ruleset", HERE / "spectral.yaml", document_file
    )
    assert "No results" in said
