"""Find the trainer whose rules apply to a model type."""

from collections.abc import Sequence
from pathlib import Path

from api.access.readable_paths import ReadablePaths
from api.domain.access.read_scope import current_scope
from api.domain.finding import make_finding
from api.domain.reason import Reason
from api.errors import FindingText, Invalid
from api.trainers.request_texts import texts_in
from api.trainers.trainer import DatasetRules, DatasetSetup, SupportsPaths
from api.util.text.suggestions import nearest_variant


class RuleBook:
    """The dataset rules of all trainers."""

    def __init__(self, rules: Sequence[DatasetRules], paths: ReadablePaths | None = None) -> None:
        """`paths` None: every path may be read."""
        self._rules = rules
        self._paths = paths

    def of_question(self, question: DatasetSetup) -> DatasetRules:
        """Return the rules for a question. Raises Invalid, also for a path that the caller may not read."""
        rules = self.of(question.model_type)
        if self._paths is not None and isinstance(rules, SupportsPaths):
            texts = [*texts_in(question.settings, "", is_of_dataset=True), *texts_in(question.config, "/config")]
            rejected = self._paths.check(texts, rules.working_directory(Path("/")), current_scope.get())
            if rejected:
                raise Invalid(mistakes=rejected)
        return rules

    def of(self, model_type: str) -> DatasetRules:
        """Return the rules for a model type. Raises Invalid."""
        for rules in self._rules:
            if model_type in rules.model_types:
                return rules
        known = sorted({name for rules in self._rules for name in rules.model_types})
        close = nearest_variant(model_type, known)
        remedy = (
            Reason.of('Did you mean "{close}"?', "advice_close_name", close=close)
            if close
            else Reason.of("Known types: {known}.", "advice_known_types", known=", ".join(known))
        )
        mistake = make_finding(
            "/model_type",
            FindingText("model_type_without_rules", 'No trainer with dataset rules has the model type "{name}".'),
            remedy=remedy,
            name=model_type[:80],
        )
        raise Invalid(mistakes=[mistake])
