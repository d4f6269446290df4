"""A client that openapi-python-client makes of the document calls every operation and understands each answer."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.clients.conftest import HERE, MEDIA, run
from tests.clients.walk_access import manage_keys
from tests.clients.walk_alerts import handle_alerts
from tests.clients.walk_datasets import fill_a_dataset, look_at_items, manage_datasets, use_a_directory
from tests.clients.walk_machine import ask_about_the_machine, hold_a_gpu
from tests.clients.walk_models import look_at_models
from tests.clients.walk_preprocess import clear_up, preprocess, read_what_it_said, write_captions
from tests.clients.walk_training import cache_ahead, go_on_and_clear_up, read_what_it_made, train
from tests.clients.walk_uploads import upload_by_form, upload_by_parts
from tests.clients.walking import PACKAGE, Walk
from tests.e2e.training_server import TrainingServer


@pytest.fixture(scope="module")
def made(document_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    root = tmp_path_factory.mktemp("made")
    program = Path(sys.executable).with_name("openapi-python-client")
    how = ("--config", HERE / "made_client.yaml", "--fail-on-warning", "--meta", "none")
    run(program, "generate", "--path", document_file, *how, "--output-path", root / PACKAGE)
    sys.path.insert(0, str(root))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(root))


def test_made_client_calls_every_operation(made: ModuleType, server: TrainingServer):
    walk = Walk(made, str(server.client.base_url), server.first_key())
    ask_about_the_machine(walk)
    hold_a_gpu(walk)
    manage_keys(walk)
    handle_alerts(walk)
    look_at_models(walk)
    upload_by_parts(walk)
    upload_by_form(walk)
    item_id = fill_a_dataset(walk)
    look_at_items(walk, item_id)
    task_id = preprocess(walk)
    read_what_it_said(walk, task_id)
    write_captions(walk)
    clear_up(walk, task_id)
    use_a_directory(walk, str(server.directory / MEDIA))
    cache_ahead(walk, server)
    manage_datasets(walk)
    done = train(walk, server)
    read_what_it_made(walk, done)
    go_on_and_clear_up(walk, server, done)
    assert walk.called == set(walk.operations)
