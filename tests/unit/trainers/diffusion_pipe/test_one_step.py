"""The request with which the trainer exports a checkpoint."""

import tomllib

import pytest

from api.domain.tasks.training import TrainingRequest
from api.errors import ExportUnsupported
from api.trainers.diffusion_pipe.plan.rehearsal import one_step

TEXT = """
# my settings
epochs = 50
max_steps = 9
save_every_n_epochs = 5
save_every_n_examples = 1000
checkpoint_every_n_minutes = 10
eval_every_n_epochs = 1
gradient_clipping = inf

[model]
type = 'flux' # the best

[optimizer]
type = 'adamw'
lr = 2e-5

[monitoring]
enable_wandb = true

[[eval_datasets]]
name = 'held'
config = 'x.toml'
"""

OWN = {"save_every_n_steps": 1, "max_steps": 31, "steps_per_print": 1}


def test_structured_request_keeps_all_but_its_end_and_its_outputs():
    kept = {"epochs": 50, "model": {"type": "flux"}, "lr_scheduler": "cosine"}
    outputs = {"save": {"every_n_epochs": 5, "checkpoint_every_n_minutes": 10}, "eval": {"every_n_epochs": 1}}
    config = {**kept, **outputs, "optimization": {"save_dtype": "float8"}, "monitoring": {"enable_wandb": True}}
    request = TrainingRequest("flux", config=config, dataset={"directories": [{"path": "/pictures"}]})
    derived = one_step(request, 31)
    assert derived.config == {**kept, "save_dtype": "float8", **OWN}
    assert derived.dataset == request.dataset


def test_text_keeps_its_comments_and_settings_but_its_end_and_its_outputs():
    request = TrainingRequest("flux", config_toml=TEXT, dataset_toml="[[directory]]\npath = '/pictures'\n")
    derived = one_step(request, 31)
    assert derived.config_toml is not None
    assert "# the best" in derived.config_toml
    kept = {"epochs": 50, "gradient_clipping": float("inf"), "model": {"type": "flux"}}
    assert tomllib.loads(derived.config_toml) == {**kept, "optimizer": {"type": "adamw", "lr": 2e-5}, **OWN}
    assert derived.dataset_toml == request.dataset_toml


def test_configuration_that_cannot_be_read_is_rejected():
    with pytest.raises(ExportUnsupported, match="no longer be read"):
        one_step(TrainingRequest("flux", config_toml="epochs =", dataset_toml=""), 31)
