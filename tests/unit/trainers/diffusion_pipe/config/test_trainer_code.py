from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.config.trainer_code import TrainerCode, read_code
from tests.unit.trainers.diffusion_pipe.builders import Case, setting
from tests.unit.trainers.diffusion_pipe.installation.sample_installation import SampleInstallation


def read(tmp_path: Path, train: str, models: str = "") -> TrainerCode:
    (tmp_path / "train.py").write_text(train)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "new.py").write_text(models)
    return read_code(tmp_path)


def test_new_keys_of_the_code_have_their_table_and_default(tmp_path: Path):
    found = read(
        tmp_path,
        "a = config.get('fresh', 0.5)\nb = config['bare']\nc = config['epochs']\nd = 'asked' in config['optimizer']",
        "class M:\n    def f(self, config):\n        self.model_config.get('sharp', True)\n        config['its_own']",
    )
    assert [(key.table, key.key, key.default) for key in found.new_keys()] == [
        ("config", "bare", None),
        ("config", "fresh", 0.5),
        ("model", "sharp", True),
    ]


@pytest.mark.parametrize(
    "default", [r"'\ud800'", "'" + "x" * 500 + "'", "1" + "0" * 20, "0x" + "f" * 9000, "1e999", "1j"]
)
def test_default_that_json_cannot_represent_is_unknown(tmp_path: Path, default: str):
    (found,) = read(tmp_path, f"a = config.get('fresh', {default})").new_keys()
    assert (found.key, found.default) == ("fresh", None)


def test_key_that_is_not_plain_text_is_ignored(tmp_path: Path):
    found = read(tmp_path, rf"a = config['\ud800'], config['{'x' * 500}'], config['a\n']")
    assert (found.new_keys(), found.names) == ((), frozenset())


def test_long_chain_of_calls_is_no_configuration(tmp_path: Path):
    assert read(tmp_path, f"config{'.a()' * 500}.get('b')\nconfig['fresh']").tables == {"": {"fresh": None}}


def test_code_that_cannot_be_parsed_is_skipped(tmp_path: Path):
    assert read(tmp_path, "def broken(:", "\0").tables == {}


def test_only_unconditional_imports_of_requirements_are_needed(tmp_path: Path):
    (tmp_path / "requirements.txt").write_text("deepspeed==0.18.4\npillow\nav>=16.0.0\n# x\n\nimageio[ffmpeg]")
    found = read(
        tmp_path,
        "import deepspeed\nfrom PIL import Image\nimport comfy.utils\ntry:\n    import av\nexcept OSError: ...",
    )
    assert found.imports == ("PIL", "deepspeed")
    assert found.requirements == {"deepspeed": "0.18.4", "pillow": None, "av": None, "imageio": None}


def test_key_that_the_installed_trainer_reads_is_accepted_with_a_warning(tmp_path: Path):
    case = Case(tmp_path)
    case.trainer.installation = SampleInstallation(tmp_path / "fake").create_check()
    case.trainer.installation.check()
    setting(brand_new_rate=0.5, brand_new_rat=0.5)(case.config)
    by_pointer = {one.pointer: one for one in case.check().warnings}
    assert "reads `brand_new_rate`" in by_pointer["/config/brand_new_rate"].message
    assert by_pointer["/config/brand_new_rate"].remedy == "Its default is 0.25."
    assert "does not know `brand_new_rat`" in by_pointer["/config/brand_new_rat"].message


def test_known_key_that_the_installed_trainer_does_not_contain_is_a_warning(tmp_path: Path):
    case = Case(tmp_path)
    case.trainer.installation = SampleInstallation(tmp_path / "fake").create_check()
    setting(max_steps=10)(case.config)
    assert not [one for one in case.check().warnings if "does not read" in one.message]
    case.trainer.installation.check()
    found = [one.pointer for one in case.check().warnings if "does not read" in one.message]
    assert "/config/pipeline_stages" in found
    assert "/config/max_steps" not in found
