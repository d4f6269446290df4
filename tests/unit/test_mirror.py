"""A stranger finds a module's tests at the mirrored path: `api/a/b/c.py` has `tests/unit/a/b/test_c.py`."""

from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Modules without tests at that path, and where they are tried instead. Whatever else has none fails here.
WITHOUT = {
    "__main__.py": "it calls main",
    "app.py": "the composition root: every test in tests/api goes through it",
    "server.py": "the composition root: every test in tests/api goes through its shell, tests/e2e through its sockets",
    "shell/serving.py": "uvicorn's server: tests/e2e starts it and asks it through sockets",
    "runtime/*.py": "the composition root: tests/unit/services/trainings.py and tests/api/conftest.py build with it",
    "models/*.py": "facts without logic; where there is some it has a test",
    "errors/*.py": "facts: tests/unit/test_errors.py looks at each of them",
    "routes/schemas/*.py": "facts: tests/api/test_openapi_contract.py tries every form that they describe",
    "routes/context.py": "every route asks it for the services: each test in tests/api goes through it",
    "routes/streams.py": "facts of the OpenAPI document, of which tests/api/test_openapi.py knows",
    "services/container.py": "facts: what the routes may call",
    "services/training/task_means.py": "facts: what tasks without a training go through",
    "services/logs/source.py": "facts: a log with what is needed to make sense of it",
    "services/gpus/circumstances.py": "facts: what bears on a GPU; test_judgement.py and test_health.py fill them",
    "services/gpus/metric_families.py": "facts: which metrics there are; test_metrics.py renders them",
    "notifiers/notifier.py": "a seam: protocols, facts and a fake",
    "storage/*tables.py": "facts: test_migrations.py holds the tables against the migrations",
    "storage/columns.py": "facts: test_migrations.py holds the tables against the migrations",
    "storage/migrations/*.py": "test_migrations.py runs them on both databases",
    "storage/migrations/versions/*.py": "test_migrations.py runs them on both databases",
    "trainers/diffusion_pipe/catalog/flux_family.py": "facts: test_table.py holds them against the checks",
    "trainers/diffusion_pipe/catalog/images.py": "facts: test_table.py holds them against the checks",
    "trainers/diffusion_pipe/catalog/videos.py": "facts: test_table.py holds them against the checks",
    "trainers/diffusion_pipe/catalog/parts.py": "facts: test_table.py holds them against the checks",
    "trainers/diffusion_pipe/keys.py": "facts: which keys there are; test_key_check.py holds values against them",
    "trainers/diffusion_pipe/key_words.py": "facts: what keys are for; test_settings.py holds them against the keys",
    "trainers/protocol/phrases.py": "facts: the trainers' words; test_output.py and test_log_lines.py read them",
    "weights/fingerprints/text_encoders.py": "facts: fingerprints/test_table.py holds a stand-in against each",
    "weights/fingerprints/transformers.py": "facts: fingerprints/test_table.py holds a stand-in against each",
    "weights/fingerprints/vaes.py": "facts: fingerprints/test_table.py holds a stand-in against each",
    "routes/taken_bodies.py": "facts of the OpenAPI document, of which tests/api/test_openapi.py knows",
    "utils/taken_body.py": "facts: what the shell leaves for a route",
    "utils/base_path.py": "facts: one constant",
    "archives/limits.py": "facts: test_expansion.py holds them",
    "archives/child.py": "a program: test_expander.py runs it",
    "executors/executor.py": "a seam: protocols and facts",
    "hardware/source.py": "a seam: protocols and a fake",
    "trainers/trainer.py": "a seam: protocols and facts",
    "executors/slurm/fake.py": "a fake: tests/e2e/slurm tries what it plays on a real Slurm",
    "executors/memory_log.py": "a fake: test_log_contract.py holds it against the files",
    "hardware/nvml_readings.py": "tests/nvml asks it through the binding and a library that plays the driver",
    "hardware/nvml_field_values.py": "tests/nvml asks it through the binding and a library that plays the driver",
    "executors/supervisor.py": "a program: tests/e2e/supervisor runs it",
    "media/child.py": "a program: test_decoder.py runs it",
    "trainers/downloads/words.py": "facts: the program's words; test_reader.py reads them",
    "trainers/downloads/refusal.py": "facts: two exceptions",
    "trainers/downloads/transferring.py": "what two programs have in common: tests/e2e runs both",
    "services/catalog/transfer_service.py": "tests/api/test_downloads.py and test_pushes.py go through it",
    "trainers/pushes/words.py": "facts: the program's words; trainers/downloads/test_reader.py reads such",
    "trainers/pushes/program.py": "a program: tests/e2e/test_pushes.py runs it",
    "services/catalog/model_uploads.py": "tests/api/test_model_uploads.py goes through it from the first byte on",
    "services/catalog/samples.py": "tests/api/test_samples.py goes through it from the first byte on",
    "routes/taken_form.py": "tests/api/test_samples.py and test_preprocess_upload.py send forms through it",
    "routes/transfer_answers.py": "tests/api/test_downloads.py and test_pushes.py read its messages",
    "services/catalog/pushes.py": "tests/api/test_pushes.py goes through it with an executor that plays",
    "services/catalog/transfers.py": "tests/api/test_downloads.py and test_pushes.py go through it, each with its kind",
    "services/catalog/downloads.py": "tests/api/test_downloads.py goes through it with an executor that plays",
    "trainers/toy/train.py": "a program: tests/e2e/test_toy_trainer.py runs it",
}


def has_tests(module: Path) -> bool:
    """Whether there are tests at its mirrored path. Those of a blueprint go through the whole shell; many have a
    folder of its name.
    """
    if (ROOT / "tests/unit" / module.parent / f"test_{module.name}").is_file():
        return True
    there = ROOT / "tests/api"
    found = [*there.glob(f"test_{module.stem}*.py"), *there.glob(f"{module.stem}/test_*.py")]
    return module.parent == Path("routes") and bool(found)


def test_every_module_has_tests_at_its_mirrored_path():
    modules = [path.relative_to(ROOT / "api") for path in sorted((ROOT / "api").rglob("*.py"))]
    missing = [str(module) for module in modules if module.name != "__init__.py" and not has_tests(module)]
    excused = {module for module in missing for pattern in WITHOUT if fnmatch(module, pattern)}
    assert [module for module in missing if module not in excused] == []


def test_every_excuse_is_needed():
    modules = [path.relative_to(ROOT / "api") for path in (ROOT / "api").rglob("*.py")]
    missing = [str(module) for module in modules if not has_tests(module)]
    assert [pattern for pattern in WITHOUT if not any(fnmatch(module, pattern) for module in missing)] == []


def test_every_file_of_unit_tests_says_which_module_it_tests():
    """A name that no module has is one that nobody looks for; a theme may follow it, where one file would be too long.

    These are about several modules together.
    """
    together = {
        "storage": {"state_machine"},
        "executors": {"log_contract"},
        "runtime": {"loaded"},
        "trainers/diffusion_pipe": {"any_request", "held_out", "unusual_but_valid"},
    }
    strangers = []
    for path in sorted((ROOT / "tests/unit").rglob("test_*.py")):
        folder, name = path.parent.relative_to(ROOT / "tests/unit"), path.stem.removeprefix("test_")
        is_of_the_whole = folder == Path() or name in together.get(str(folder), ())
        parts = name.split("_")
        modules = [ROOT / "api" / folder / "_".join(parts[:count]) for count in range(1, len(parts) + 1)]
        if not is_of_the_whole and not any(each.with_suffix(".py").is_file() or each.is_dir() for each in modules):
            strangers.append(str(path.relative_to(ROOT)))
    assert strangers == []
