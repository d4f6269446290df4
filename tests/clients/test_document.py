"""The document passes the linter of its field."""

from pathlib import Path

from tests.clients.conftest import HERE, run


def test_spectral_has_nothing_to_say(tools: Path, document_file: Path):
    said = run(
        tools / "spectral", "lint", "--fail-severity", "hint", "--ruleset", HERE / "spectral.yaml", document_file
    )
    assert "No results" in said
