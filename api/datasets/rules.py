"""Which trainer's rules hold for a model type."""

from collections.abc import Sequence
from pathlib import Path

from api.access.readable_paths import ReadablePaths
from api.domain.sight import current_sight
from api.errors import Invalid, Mistake
from api.trainers.request_texts import texts_in
from api.trainers.trainer import DatasetQuestion, DatasetRules, OpensPaths
from api.util.suggestions import nearest


class RuleBook:
    """The rules of every trainer that takes datasets."""

    def __init__(self, rules: Sequence[DatasetRules], paths: ReadablePaths | None = None) -> None:
        """`paths` None: every path may be read."""
        self._rules = rules
        self._paths = paths

    def of_question(self, question: DatasetQuestion) -> DatasetRules:
        """The rules for what is asked about. Raises Invalid, also for a path in it that the caller may not read."""
        rules = self.of(question.model_type)
        if self._paths is not None and isinstance(rules, OpensPaths):
            texts = [*texts_in(question.settings, "", is_of_dataset=True), *texts_in(question.config, "/config")]
            refused = self._paths.check(texts, rules.working_directory(Path("/")), current_sight.get())
            if refused:
                raise Invalid(mistakes=refused)
        return rules

    def of(self, model_type: str) -> DatasetRules:
        """The rules for a model type. Raises Invalid."""
        for rules in self._rules:
            if model_type in rules.model_types:
                return rules
        known = sorted({name for rules in self._rules for name in rules.model_types})
        close = nearest(model_type, known)
        remedy = f'Did you mean "{close}"?' if close else f"Known are: {', '.join(known)}."
        message = f'No trainer with rules for datasets knows the model type "{model_type[:80]}".'
        raise Invalid(mistakes=[Mistake("/model_type", message, remedy)])
