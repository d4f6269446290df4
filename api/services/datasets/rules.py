"""Which trainer's rules hold for a model type."""

from collections.abc import Sequence

from api.errors import Invalid, Mistake
from api.trainers.trainer import DatasetRules
from api.utils.suggestions import nearest


class RuleBook:
    """The rules of every trainer that takes datasets."""

    def __init__(self, rules: Sequence[DatasetRules]) -> None:
        self._rules = rules

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
