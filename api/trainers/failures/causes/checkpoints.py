"""Checkpoints, resuming and saving."""

from api.trainers.failures.known_cause import KnownCause
from api.trainers.failures.patterns import CUT_OFF

CAUSES = (
    KnownCause(
        "checkpoint_damaged",
        pattern=CUT_OFF,
        within=r"in _?load_checkpoint$|\.load_checkpoint\(|checkpoint_engine\.py",
        remedy=(
            "the checkpoint is damaged, most often as the disk was full or the training was killed while it "
            "was written: resume from an earlier one"
        ),
        remedy_zh="检查点已损坏，多半是写入时磁盘已满或训练被终止：请从更早的检查点继续",
        examples=(
            (
                '  File "/v/deepspeed/runtime/engine.py", line 9, in load_checkpoint\n'
                "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory"
            ),
            (
                '  File "/v/deepspeed/checkpoint_engine.py", line 37, in load\n'
                "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory"
            ),
            '  File "/t/train.py", line 9, in load_checkpoint\n_pickle.UnpicklingError: pickle data was truncated',
            '  File "/t/train.py", line 9, in load_checkpoint\nEOFError: Ran out of input',
            '  File "/t/train.py", line 9, in load_checkpoint\nRuntimeError: unexpected EOF, expected 9 more bytes.',
        ),
    ),
    KnownCause(
        "checkpoint_pickled",
        pattern=r"UnpicklingError: Weights only",
        within=r"in _?load_checkpoint$",
        remedy=(
            "this torch refuses the checkpoint of another version of DeepSpeed: run "
            "`pip install -r requirements.txt` in the trainer's directory with its Python, or resume with the "
            "environment that wrote it"
        ),
        remedy_zh=(
            "此 torch 拒绝其他版本的 DeepSpeed 写的检查点：请在训练器的目录中用它的 Python 运行 "
            "`pip install -r requirements.txt`，或在写出该检查点的环境中继续"
        ),
        examples=(
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/v/site-packages/deepspeed/a.py", line 9, in load_checkpoint\n'
                "_pickle.UnpicklingError: Weights only load failed."
            ),
        ),
    ),
    KnownCause(
        "save_every",
        pattern=r"assert 'save_every_n_epochs' in config",
        remedy="set save_every_n_epochs, save_every_n_steps or save_every_n_examples in the configuration",
        remedy_zh="请在配置中设置 save_every_n_epochs、save_every_n_steps 或 save_every_n_examples",
        examples=("    assert 'save_every_n_epochs' in config or 'save_every_n_steps'\nAssertionError",),
    ),
    KnownCause(
        "no_checkpoint",
        pattern=r"Unable to find latest file|load_path is not None",
        remedy=(
            "this run has no checkpoint to resume, only saved models at most: start a new training, with "
            "init_from_existing to go on from a saved adapter; set checkpoint_every_n_minutes so that later "
            "runs have one"
        ),
        remedy_zh=(
            "此运行没有可继续的检查点，至多只有已保存的模型：请开始新的训练，可用 init_from_existing 从已保存的"
            "适配器接着训练；设置 checkpoint_every_n_minutes，以后的运行就会有检查点"
        ),
        examples=(
            (
                "[2025-08-19 23:19:36,234] [WARNING] [engine.py:2979:load_checkpoint] Unable to find latest file "
                "at /r/latest\n"
                "AssertionError"
            ),
            '  File "/t/train.py", line 879, in <module>\n    assert load_path is not None\nAssertionError',
        ),
    ),
    KnownCause(
        "other_optimizer",
        pattern=r"parameter group that doesn't match|different number of parameter groups",
        remedy=(
            "the checkpoint was written with another adapter, optimizer, pipeline_stages, number of GPUs or "
            "learning rates: restore these settings, or resume with reset_optimizer"
        ),
        remedy_zh=(
            "该检查点是以另外的适配器、优化器、pipeline_stages、GPU 数量或学习率写成的：请恢复这些设置，或以 "
            "reset_optimizer 继续训练"
        ),
        examples=(
            "ValueError: loaded state dict contains a parameter group that doesn't match the size",
            "ValueError: loaded state dict has a different number of parameter groups",
        ),
    ),
    KnownCause(
        "checkpoint_incomplete",
        pattern=r"(?:No such file|unable to find).{0,200}[-_](?:model|optim)_states\.pt",
        remedy=(
            "the checkpoint is incomplete, or of another model or number of pipeline_stages: restore these "
            "settings, or resume from an earlier one"
        ),
        remedy_zh="该检查点不完整，或属于其他模型或其他 pipeline_stages 数：请恢复这些设置，或从更早的检查点继续",
        examples=(
            "FileNotFoundError: [Errno 2] No such file or directory: '/o/global_step9/mp_rank_00_model_states.pt'",
        ),
    ),
    KnownCause(
        "no_run",
        pattern=r"^IndexError",
        within=r"in get_most_recent_run_dir$",
        remedy="output_dir has no run that could be resumed: correct output_dir, or start a new training",
        remedy_zh="output_dir 中没有可以继续的训练：请改正 output_dir，或开始新的训练",
        examples=('  File "/t/train.py", line 9, in get_most_recent_run_dir\nIndexError: list index out of range',),
    ),
    KnownCause(
        "checkpoint_version",
        pattern=r"KeyError: '(?:custom_loader|custom_loader_state|num_batches_pulled|step)'",
        remedy=(
            "the checkpoint was written by another version of the trainer: resume it with that version, or "
            "start a new training"
        ),
        remedy_zh="该检查点由另一版本的训练器写成：请用那个版本继续，或开始新的训练",
        examples=("KeyError: 'custom_loader'",),
    ),
    KnownCause(
        "tmp_left_behind",
        pattern=r"FileExistsError: .*/tmp'",
        remedy="an interrupted save left this `tmp` directory: resume the task, which removes it",
        remedy_zh="被杀死的保存留下了这个 `tmp` 目录：继续训练会移除它",
        examples=(
            "FileExistsError: [Errno 17] File exists: '/r/epoch1/tmp'",
            "FileExistsError: [Errno 17] File exists: '/out/x/epoch1/tmp'",
        ),
    ),
    KnownCause(
        "dataset_smaller",
        pattern=r"\[resumed\]$",
        remedy=(
            "the dataset has fewer steps than the checkpoint has made in its epoch: resume with "
            "reset_dataloader, or restore the dataset, num_repeats and batch sizes"
        ),
        remedy_zh=(
            "数据集的步数少于检查点在该轮中已完成的步数：请用 reset_dataloader 恢复训练，或还原数据集、"
            "num_repeats 与批大小"
        ),
        examples=("Resuming training from checkpoint. Resuming at epoch: 2, step: 101\nStopIteration",),
    ),
)
