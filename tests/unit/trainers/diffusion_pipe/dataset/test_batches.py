from api.trainers.diffusion_pipe.config.document import TrainerDocument
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.dataset.batches import Batches, read_batches
from tests.unit.trainers.diffusion_pipe.builders import remarks, setting

ERRORS = [
    (setting(micro_batch_size_per_gpu=0), "/config/micro_batch_size_per_gpu"),
    (setting(micro_batch_size_per_gpu="2"), "/config/micro_batch_size_per_gpu"),
    (setting(micro_batch_size_per_gpu=[[512, 4], [1024]]), "/config/micro_batch_size_per_gpu/1"),
    (setting(micro_batch_size_per_gpu=True), "/config/micro_batch_size_per_gpu"),
    (setting(image_micro_batch_size_per_gpu=-1), "/config/image_micro_batch_size_per_gpu"),
]

NOTHING = [
    setting(micro_batch_size_per_gpu=[[512, 2], [1024, 1]]),
]

test_change_gets_the_remark_that_fits = remarks(errors=ERRORS, nothing=NOTHING)


def test_batch_size_is_that_of_the_nearest_resolution():
    batches = Batches(videos=((500, 8), (700, 2)), images=((512, 4), (1024, 1)), accumulation=3, replicas=2)
    assert batches.size_for(512, 512, 1) == 4 * 6
    assert batches.size_for(2048, 512, 1) == 1 * 6
    assert [batches.size_for(side, side, 33) for side in (599, 600, 601)] == [8 * 6, 8 * 6, 2 * 6]
    assert batches.global_size == 8 * 6


def test_evaluation_batches_default_to_training_batches():
    values = {"micro_batch_size_per_gpu": 2, "pipeline_stages": 2, "gradient_accumulation_steps": 4}
    training, evaluation = read_batches(TrainerDocument(values, ""), 4, Findings())
    assert (training.global_size, evaluation.global_size) == (2 * 4 * 2, 2 * 1 * 2)
    values |= {"image_micro_batch_size_per_gpu": 3, "eval_micro_batch_size_per_gpu": 5}
    training, evaluation = read_batches(TrainerDocument(values, ""), 4, Findings())
    assert (training.images, evaluation.videos, evaluation.images) == (((0, 3),), ((0, 5),), ((0, 5),))


def test_last_of_two_sizes_for_one_resolution_applies():
    document = TrainerDocument({"micro_batch_size_per_gpu": [[512, 1], [1024, 2], [512, 3]]}, "")
    training, _ = read_batches(document, 1, Findings())
    assert training.videos == ((512, 3), (1024, 2))
