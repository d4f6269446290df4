import pytest

from api.errors import Invalid
from api.services.datasets.rules import RuleBook
from api.trainers.diffusion_pipe.trainer import DiffusionPipe


def test_a_model_type_has_the_rules_of_its_trainer():
    trainer = DiffusionPipe(None, None)
    assert RuleBook([trainer]).of("wan") is trainer


def test_a_model_type_that_nobody_knows_is_refused_with_the_nearest():
    with pytest.raises(Invalid) as refused:
        RuleBook([DiffusionPipe(None, None)]).of("fluxx")
    [mistake] = refused.value.mistakes
    assert (mistake.pointer, mistake.remedy) == ("/model_type", 'Did you mean "flux"?')
