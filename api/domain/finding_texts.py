"""The texts of findings about requests and datasets: code, English message, and remedy if it is always the same.

`{name}` is a parameter, and `{name|one|many}` depends on whether it is 1. Chinese texts are in the page's `zh.json`.
"""

from collections.abc import Mapping

#: Codes are stable: clients compare them.
FINDINGS: Mapping[str, tuple[str, str | None]] = {
    "in_other_file": ("{label}{place}: {inner}", None),
    # util/validation.py
    "more_findings": (
        "There {left_out|is|are} {number} more {left_out|finding|findings} than these.",
        "Fix these, then check again.",
    ),
    # datasets/findings.py
    "exact_duplicates": (
        "Groups of byte-identical files: {count}. The trainer uses every copy.",
        "Keep one file of each group; use num_repeats to repeat it.",
    ),
    "near_duplicates": (
        "Groups of files that look alike (of videos their first frames): {count}.",
        "Review `duplicates.near` and keep one file of each group.",
    ),
    "files_enlarged": (
        ("{count} of {items} files are smaller than the training size, and enlarged by more than {percent}: {names}."),
        "Use larger files, or a lower resolution.",
    ),
    "files_cropped": (
        ("{count} of {items} files lose more than {percent} of their area to fit their bucket: {names}."),
        "Set enable_ar_bucket with more aspect ratios, or crop them yourself.",
    ),
    # trainers/diffusion_pipe/adapter_check.py
    "full_training_unsupported": (
        "{model_type} can only be trained as a LoRA; without [adapter] the trainer fails at the first save.",
        "Add an adapter of type 'lora' with a rank.",
    ),
    "alpha_rejected": ("The trainer rejects `alpha`, because it always equals the rank.", "Remove it."),
    "adapter_key_missing": ("`{name}` is missing.", "Set type = 'lora' and a rank, for example 32."),
    "dropout_of_one": ("With 1, the adapter learns nothing.", "Set a small share, for example 0.1."),
    "lokr_unsupported": ("The trainer cannot save {model_type} as a LoKr.", "Set type = 'lora'."),
    "rank_not_whole": ("The rank is not a whole number.", "Set a whole number, for example 32."),
    "ignored_by_lora": ("A LoRA ignores this key.", "Remove it."),
    "ignored_by_lokr": ("A LoKr ignores this key.", "Use `rank_dropout` instead."),
    "ignored_by_model": ("{model_type} ignores this key.", "Remove it."),
    "pattern_invalid": ("This is not a valid regular expression.", "Write a list of names in quotes."),
    "modules_invalid": ("This is not a name or a list of module names.", "Write a list of names in quotes."),
    "all_modules_excluded": ("It excludes all modules, so there is nothing to train.", "Exclude fewer modules."),
    "fused_adapter_not_table": ("This entry is not a table with a path.", "Write {path = '…', weight = 1.0}."),
    "fused_adapter_not_directory": (
        "The trainer needs the directory of a saved adapter here, with its adapter_config.json.",
        "Set the directory of a LoRA that the trainer saved.",
    ),
    "rank_ignored": ("The trainer ignores it and uses the rank of init_from_existing, {only}.", "Set {only}."),
    "rank_differs": ("This adapter has rank {actual}; the trainer fails with another.", "Set rank = {actual}."),
    # trainers/diffusion_pipe/batches.py
    "too_many_pairs": ("The list has more than {max_pairs} pairs.", "Remove some."),
    "batch_size_invalid": (
        "This is not a batch size.",
        "Set a whole number of at least 1, or a list of [resolution, size] pairs: [[512, 4], [1024, 1]].",
    ),
    "pair_too_long": ("The trainer reads only the first two numbers.", "Write [{resolution}, {size}]."),
    "pair_invalid": (
        "This is not a pair of a resolution and a batch size.",
        "Set a whole number of at least 1, or a list of [resolution, size] pairs: [[512, 4], [1024, 1]].",
    ),
    # trainers/diffusion_pipe/buckets.py
    "too_many_buckets": ("The list has more than {max_buckets} entries.", "Remove some."),
    "resolutions_too_many": (
        (
            "The list has {count} resolutions; with more than {max_resolutions} the trainer quits"
            " without an error message. Every image is trained at each of them."
        ),
        "Set at most {max_resolutions}.",
    ),
    "size_buckets_invalid": (
        "This is not a list of size buckets.",
        "Write a list of [width, height, frames], for example [[512, 512, 1]].",
    ),
    "size_buckets_unsorted": (
        "The trainer confuses these buckets: it matches sorted aspect ratios with unsorted buckets.",
        "Sort them by rising width / height, with each ratio once and one frame count; or use resolutions.",
    ),
    "resolutions_missing": ("`resolutions` is missing.", "Set resolutions = [512], or size_buckets."),
    "resolutions_invalid": ("This is not a list of resolutions.", "Set for example [512]."),
    "resolution_negative": ("The trainer uses this side without its minus.", "Write {value}."),
    "resolution_invalid": (
        "This is not a resolution.",
        "Write a side in pixels ({lowest} to {highest}), or [width, height].",
    ),
    "ar_bucket_key_missing": ("`{name}` is missing.", "Set it or ar_buckets, or remove enable_ar_bucket."),
    "ar_buckets_invalid": ("This is not a list of aspect ratios.", "Set for example [1.0, 1.5]."),
    "ar_bucket_invalid": ("This is not an aspect ratio.", "Write width / height, or [width, height]."),
    "frame_buckets_invalid": ("This is not a list of frame counts.", "Set for example [1, 33]."),
    "set_only_in_directory": (
        "`{name}` is set only in this directory; the trainer then fails with a KeyError.",
        "Set `{name}` at the top level of the dataset, as well.",
    ),
    "cosmos_sizes": (
        "Cosmos supports only certain sizes, at the top level and in every directory; else the trainer quits.",
        "Set size_buckets in both, with these entries only: {sizes}.",
    ),
    "cosmos_key": ("For Cosmos, the trainer quits if `{name}` is set.", "Remove it."),
    # trainers/diffusion_pipe/trainer.py
    "check_too_long": (
        "The check took longer than {seconds} s and was cancelled.",
        "Use fewer directories, sizes or files.",
    ),
    "nothing_to_rehearse": (
        "None of its files could be examined, so there is nothing to rehearse with.",
        "Start the training without a rehearsal. Files in .tar archives are not examined.",
    ),
    "rehearsal_not_derivable": ("This configuration cannot be changed for a rehearsal.", "Simplify it."),
    "keys_not_addable": (
        "The service cannot add its own keys (output_dir, dataset) into this configuration.",
        "Simplify the configuration, and write each table only once.",
    ),
    # trainers/diffusion_pipe/config_check.py
    "pipelines_uneven": (
        "{gpu_count} GPUs do not divide into pipelines of {stages}.",
        "Request a multiple of {stages} GPUs, or set pipeline_stages to a divisor of {gpu_count}.",
    ),
    "gradient_release_pipelines": (
        "gradient_release works with one pipeline only.",
        "Set pipeline_stages to the number of GPUs ({gpu_count}), or remove gradient_release.",
    ),
    "clip_mode_unknown": (
        "The trainer has no mode `{mode}`, and hangs at the first video.",
        "Set 'single_beginning' or 'single_middle'.",
    ),
    "flux2_stages": (
        "With 3 or more stages, this version of the trainer hangs before the first step of flux2.",
        "Use 1 or 2 stages, or update the trainer (pull request #544).",
    ),
    "epochs_missing_for_steps": (
        "`epochs` is missing. The trainer fails at the end of the first epoch, unless max_steps ends it before.",
        "Set the number of epochs.",
    ),
    "epochs_missing": ("`epochs` is missing.", "Set the number of epochs."),
    "table_missing": ("`{name}` is missing.", "Set {what}."),
    "no_epochs_for_cosine": ("0 epochs make the cosine scheduler divide by zero.", "Set the number of epochs."),
    "training_endless": ("The training never ends by itself.", "Set a number, or set max_steps."),
    "less_than_one_epoch": ("The trainer trains one epoch even if this is less.", "Set epochs = 1."),
    "lora_table_outdated": (
        "The trainer expects a data type of an older version in [lora] and fails.",
        None,
    ),
    "resume_key_removed": (
        "The service removes this key: new tasks start from the beginning, and resumed ones get a run directory.",
        "Resume the earlier task instead.",
    ),
    "save_interval_missing": (
        "No key sets how often the model is saved.",
        "Set save_every_n_epochs, save_every_n_steps or save_every_n_examples.",
    ),
    "save_examples_too_few": (
        "The value is less than the {examples} examples of one step, so the trainer divides by zero.",
        "Set it to {examples} or more.",
    ),
    "save_steps_overridden": ("`save_every_n_examples` is set as well and takes precedence.", "Remove one of them."),
    "checkpoints_missing": (
        (
            "The training saves no checkpoints by itself, so a crash loses all progress. A stop through the "
            "service still saves one."
        ),
        "Set checkpoint_every_n_minutes (for example 120) or checkpoint_every_n_epochs.",
    ),
    "eval_examples_too_few": (
        "The value is less than the {examples} examples of one step, so it triggers no evaluation.",
        "Set it to {examples} or more.",
    ),
    "eval_steps_overridden": ("`eval_every_n_examples` is set as well and takes precedence.", "Remove one of them."),
    "eval_interval_missing": (
        "No key sets how often to evaluate, so the trainer evaluates only before the first step.",
        "Set eval_every_n_epochs, eval_every_n_steps or eval_every_n_examples.",
    ),
    "warmup_fraction": (
        "The trainer expects a number of steps and fails on a fraction.",
        "Set a number of steps, or remove the key.",
    ),
    "activation_checkpointing_invalid": ("The value is not true, false or 'unsloth'.", "Set true, false or 'unsloth'."),
    "activation_checkpointing_off": (
        "Without activation_checkpointing this key is ignored.",
        "Set activation_checkpointing = true, or remove this key.",
    ),
    "gradient_release_clipping": ("With gradient_release the trainer does not clip gradients.", "Remove one of them."),
    "captions_unused": ("With 1, no caption is ever used.", "Set a small share, for example 0.1."),
    "steps_not_printed": (
        "The service reads progress from printed steps, but the trainer would not print each.",
        "Set steps_per_print to 1.",
    ),
    "huber_overrides": ("`huber_delta` is set as well and takes precedence.", "Remove one of them."),
    "wandb_key_missing": ("Weights & Biases needs `{name}`.", "Set `{name}`."),
    "wandb_name_empty": ("`{name}` is empty.", "Set a name."),
    "partition_method_unknown": (
        "`{method}` is not a known method.",
        "Set 'parameters', or 'manual' with partition_split.",
    ),
    "partition_split_ignored": ("This key is ignored without partition_method = 'manual'.", "Set both or neither."),
    "partition_of_one_stage": (
        "The model has one pipeline stage, so there is nothing to split, and the trainer fails.",
        "Set partition_method = 'parameters' and remove partition_split, or raise pipeline_stages.",
    ),
    "partition_split_invalid": (
        "This is not a list of the {splits} layers at which {stages} pipeline stages are split.",
        "List {splits} rising layer numbers (pipeline_stages - 1).",
    ),
    "partition_split_too_high": (
        "The model has about {blocks} layers, so nothing is left for the last stage.",
        "Set a number below {blocks}.",
    ),
    "block_swap_unsupported": ("The trainer cannot swap blocks of this model type.", "Remove blocks_to_swap."),
    "block_swap_needs_adapter": (
        "The trainer swaps blocks only when it trains an adapter.",
        "Remove it, or add [adapter].",
    ),
    "block_swap_stages": ("The trainer swaps blocks only with pipeline_stages = 1.", "Remove one of the two."),
    # trainers/diffusion_pipe/dataset_check.py
    "directories_missing": ("The dataset has no directories.", None),
    "too_many_directories": ("The list has more than {max_directories} directories.", "Merge some."),
    "directory_not_table": ("This entry is not a table.", "Write {path = '…'}."),
    "named_dataset_unsupported": ("Named datasets are not supported here.", "Set the directory's `path`."),
    "directory_path_missing": (
        "`path` is missing.",
        "Set the directory of the images, or the name of a dataset as `dataset`.",
    ),
    "mask_is_directory": ("This is a directory.", "Set the path of an image."),
    "cache_blocked": (
        "The file {blocking} is in the way: the trainer creates a directory of this name for its cache.",
        "Rename or remove this file.",
    ),
    "cache_needs_dataset": (
        "Only dataset versions can be cached in advance, and this request names none.",
        'Name a dataset, as "dataset": "name".',
    ),
    "not_cacheable": (
        "This cannot be cached in advance: {why}.",
        "Start the training without it: the trainer caches during the run.",
    ),
    "cache_not_writable": (
        "The trainer cannot write its cache into this directory.",
        "Give the service's user write permission for it.",
    ),
    "directory_is_file": ("This is a file.", "Set the path of a directory."),
    "videos_borderline": (
        "{count} videos are just long enough for their bucket; the trainer may count fewer frames.",
        "Set shorter frame_buckets, or use longer clips.",
    ),
    "epoch_too_large": (
        "An epoch has {examples} examples, and the trainer lists them all in memory.",
        "Lower num_repeats; use more epochs instead.",
    ),
    "videos_truncated": (
        (
            "{count} videos have fewer frames than their headers state, and too few for their buckets. "
            "{consequence}: {names}."
        ),
        "Copy or convert them again, or remove them from the directory.",
    ),
    "directories_same": (
        "Directories {first} and {index} are the same; both write to one cache and may damage it.",
        "List it once with num_repeats, or copy it.",
    ),
    "control_images_mixed": (
        "This directory has no control images, but others do. The trainer {what} a step that combines them.",
        (
            "Set control_path for every directory, or train with micro_batch_size_per_gpu = 1 and "
            "gradient_accumulation_steps = 1."
        ),
    ),
    "subsample_empty": ("With this ratio, an epoch has no steps.", "Raise it, or remove the key."),
    "no_bucket_full": ("No size bucket has enough items for one step, so there is nothing to train on.", None),
    "fullest_bucket_too_small": (
        (
            "No size bucket has enough items for one step, so there is nothing to train on: the fullest has "
            "{examples} items, and a step takes {step} (batch size {batch_size}, gradient accumulation {accumulation}, "
            "{gpus} {gpus|GPU|GPUs}{copies})."
        ),
        None,
    ),
    "buckets_dropped": (
        "{count} size buckets have too few files for one step and are dropped (width×height×frames: {sizes}).",
        None,
    ),
    # trainers/diffusion_pipe/dataset_report.py
    "files_unreadable": (
        "{count} of {media} files are {endings}, which no model type can read; they are skipped: {names}.",
        "Convert them to JPEG or PNG.",
    ),
    "captions_missing": ("{count} of {media} files have no caption and are skipped: {names}.", None),
    # trainers/diffusion_pipe/diffusers_check.py
    "model_index_missing": ("{name} {content}has no readable model_index.json, which diffusers needs.", None),
    "model_index_other": ("{name} is a model for `{pipeline}`, according to its model_index.json.", None),
    "model_part_missing": (
        "{directory} lacks the weights of the part `{part}`, which model_index.json lists.",
        "Download the missing files of the model.",
    ),
    # trainers/diffusion_pipe/eval_check.py
    "too_many_eval_datasets": ("The list has more than {max_datasets} datasets.", "Remove some."),
    "eval_directory_conflict": (
        (
            "The training or another evaluation uses this directory with another {setting}. Both write to "
            "one cache, so the training takes the lists of the last one, or fails."
        ),
        "Set the same {settings} in both, or copy the files for the evaluation.",
    ),
    "eval_directory_shared": (
        "The training or another evaluation uses this directory with other {setting}, and both write to one cache.",
        "Set the same {settings} in both, or copy the files for the evaluation.",
    ),
    "eval_datasets_not_list": (
        "The value is not a list of evaluation datasets, each a table with `name` and `config`.",
        "Write eval_datasets = [{name = '{name}', config = '{file}'}].",
    ),
    "eval_dataset_not_table": (
        "This entry is not a table with `name` and `config`; the trainer fails on it after loading.",
        "Write {name = '{name}', config = '{file}'}.",
    ),
    "eval_name_missing": ("The name of the dataset is missing.", "Set a short name."),
    "eval_name_twice": (
        "The name `{name}` is used twice; only the last is evaluated.",
        "Give each dataset its own name.",
    ),
    "eval_config_missing": ("The path of the dataset's TOML file is missing.", "Set `config`."),
    "eval_config_not_file": ("This is not a file.", "Set the path of a dataset's TOML file."),
    "eval_config_not_utf8": ("This file is not UTF-8.", "Save it as UTF-8."),
    "eval_config_invalid": (
        "This is not the TOML file of a dataset.",
        "Set the path of a TOML file with [[directory]].",
    ),
    # trainers/diffusion_pipe/slots_check.py
    "file_name_suspicious": ("By its name, {path} is {description}.", None),
    "wan_noise_times": (
        (
            "By its name, {path} is the model of Wan 2.2 for {noise}, but min_t and max_t train it at times "
            "from {low} to {high}."
        ),
        "Set min_t = {begin} and max_t = {end} (for image-to-video, 0.9 instead of 0.875).",
    ),
    # trainers/diffusion_pipe/forms.py
    "number_not_in_json": ("JSON cannot represent this number.", "Keep it as text: JSON cannot represent it."),
    "integer_too_large": ("The number exceeds the 64 bits of TOML integers.", "Use a smaller number."),
    # trainers/diffusion_pipe/key_check.py
    "boolean_as_number": ("The trainer uses {value} as the number {number}.", "Set {number}."),
    "number_in_quotes": ("The value is a number in quotes.", "Write {value} without quotes."),
    "value_of_other_kind": ("The value is not {kind}.", "Set {wanted}."),
    "value_unknown": ("`{value}` is not a known value.", "Set {wanted}."),
    "string_as_boolean": ("The value is a string, and the trainer treats any string as true.", "Set true or false."),
    "zero_divides": ("0 makes the trainer divide by zero.", "Set 1 or more."),
    "value_out_of_range": ("{value} is out of range.", "Set {wanted}."),
    "key_not_read": (
        "The installed trainer does not read `{name}`.",
        "Update the trainer's checkout, or remove the key.",
    ),
    "key_ignored": ("The trainer ignores `{name}` here.", None),
    "key_elsewhere": ("The trainer ignores `{name}` here.", "It belongs in {elsewhere}."),
    "key_unknown": ("The trainer does not know `{name}` and ignores it.", None),
    # trainers/diffusion_pipe/model_check.py
    "model_types_differ": (
        "The configuration sets the type `{written}`, but the request `{requested}`.",
        "Use the same type in both.",
    ),
    "model_type_unknown": ("The trainer has no model type `{name}`.", None),
    "model_type_not_read": (
        "The code of the trainer's checkout does not contain the model type `{name}`.",
        "Update the checkout and its submodules.",
    ),
    "model_key_missing": ("`{name}` is missing.", None),
    "model_keys_missing": ("`{name}` is missing.", "This type needs {others}."),
    "path_not_string": ("The path is not a string.", "Write it in quotes."),
    "transformer_missing": (
        "diffusers_path has no local directory `transformer`, and transformer_path is missing.",
        "Set the path of a complete local model, or set transformer_path.",
    ),
    "encoders_empty": ("The list is empty.", "Add a text encoder."),
    "encoders_several": (
        "The trainer loads the files of the last entry for all entries and trains with the first.",
        "Keep one entry; one with several files has `paths`.",
    ),
    "encoder_not_table": ("This entry is not a table.", "Write {path = '…', type = '…'}."),
    "encoder_type_missing": ("The type of the text encoder is missing.", "Set type = '{encoder_type}'."),
    "encoder_files_few": (
        "This text encoder needs {number} files; with fewer, the trainer fails on the captions.",
        "Set paths = ['…', '…'] with {number} files.",
    ),
    "encoder_path_missing": ("The path of the text encoder is missing.", "Set `path` (or `paths`, a list)."),
    "min_t_not_below": ("min_t is not below max_t.", "Set 0 ≤ min_t < max_t ≤ 1."),
    "cfg_stages": ("`cfg` above 1 needs pipeline_stages = 1.", "Remove `cfg`, or use one stage."),
    # trainers/diffusion_pipe/optimizer_check.py
    "gradient_release_model": (
        "It only works for {optimizers}; with {model_type} the trainer fails after loading.",
        "Remove it.",
    ),
    "optimizer_argument_unknown": (
        "The optimizer has no argument `{name}`: the trainer fails on it after caching and loading.",
        None,
    ),
    "value_not_number": ("The value is not a number.", "Write a number without quotes."),
    "optimizer_choice_unknown": ("The optimizer does not have this kind.", "Set one of {choices}."),
    "optimizer_8bit_rejects": ("The 8-bit optimizer rejects this value.", None),
    "optimizer_negative": ("The optimizer rejects values below 0.", "Set 0 or more."),
    "foreach_with_fused": ("The optimizer rejects `foreach` together with `fused`.", "Remove `foreach`."),
    "not_with_fused": ("The optimizer rejects it together with `fused`.", "Remove one of them."),
    "only_one_of": ("The optimizer accepts only one of {names}.", "Remove the others."),
    "nesterov_needs_momentum": ("`nesterov` needs a momentum and no dampening.", "Set for example momentum = 0.9."),
    "learning_rate_invalid": ("This is not a learning rate.", "Set 0 or more, for example 2e-5."),
    "automagic_learning_rate": ("automagic treats this as a mistake and starts with 1e-6.", "Set 1e-6, or remove it."),
    "learning_rate_zero": ("With a learning rate of 0 nothing is learned.", "Set for example 2e-5."),
    "learning_rate_huge": (
        "A learning rate of {rate} destroys the model; a minus in the exponent may be missing.",
        "Set for example 2e-5.",
    ),
    "learning_rate_needed": ("No learning rate is set, and the optimizer needs one.", "Set `lr`."),
    "learning_rate_missing": ("No learning rate is set.", "Set `lr`."),
    "learning_rates_zero": ("All learning rates are 0, so there is nothing to train.", "Set `lr`."),
    "betas_invalid": ("The value is not a pair of betas.", "Set two numbers from 0 to below 1, such as [0.9, 0.99]."),
    "half_life_invalid": ("The value is not a number above 0.", "Set the number of examples."),
    "half_life_needs_betas": ("`beta2_half_life` needs two `betas`.", "Set betas = [0.9, 0.99]."),
    "optimizer_name_invalid": (
        "`{name}` is not the plain name of an optimizer.",
        "Use one of {optimizers}, or a class of pytorch_optimizer without dots.",
    ),
    "optimizer_averages": (
        "{name} averages weights, but the trainer never switches to the averages before it saves a model.",
        "Use another optimizer, for example adamw_optimi.",
    ),
    "optimizer_argument_needed": ("The optimizer needs `{name}`, and the trainer fails without it.", None),
    "optimizer_argument_ignored": ("The optimizer has no argument `{name}` and ignores it.", None),
    "optimizer_argument_rejected": ("The optimizer has no argument `{name}`, and the trainer fails.", None),
    "betas_count": (
        "The optimizer needs {needed} betas, but the list has {count}.",
        "Set {needed} numbers, such as {example}, or remove the key to use its defaults.",
    ),
    "optimizer_option_unknown": ("The optimizer does not have this option.", "Set one of {options}."),
    "optimizer_not_built_in": (
        "`{name}` is not built into the trainer, which will look for this class in pytorch_optimizer.",
        None,
    ),
    # trainers/diffusion_pipe/paths.py
    "directory_downloaded": (
        "This directory does not exist; the trainer will download the model of this name from Hugging Face.",
        "Set the directory of a downloaded model to avoid the download.",
    ),
    "file_needed": ("This is a directory, but the trainer needs a file.", "Set the path of the weights file."),
    "directory_needed": ("This is a file, but the trainer needs a directory.", "Set the model's directory."),
    "safetensors_name_needed": ("The trainer needs a .safetensors file here.", "Convert the weights to safetensors."),
    "no_safetensors_in_directory": ("This directory has no .safetensors files.", "Set the directory with the weights."),
    "safetensors_named_pickle": (
        "{path} is a safetensors file, but because of its name the trainer unpickles it and fails.",
        "Rename it to end in .safetensors.",
    ),
    "safetensors_needed": ("The trainer needs a safetensors file here.", "Convert the weights to safetensors."),
    "one_of_several_parts": (
        "{path} is one of several parts, but the trainer opens only this file.",
        "Set the directory of all parts if the key supports one, else a file with the complete model.",
    ),
    "path_empty": ("The path is empty.", "Set the path."),
    "path_relative": ("The path is relative, but the trainer's directory is unknown.", "Set an absolute path."),
    "path_of_other_kind": ("This is neither a file nor a directory.", "Set the path of a file or directory."),
    "path_unreadable": ("This path cannot be read.", "Give the service's user read permission."),
    "adapter_directory_needed": ("This is a file, but the trainer needs a directory.", "Set the adapter's directory."),
    "adapter_files_count": (
        "This directory has {count} .safetensors files; the trainer needs exactly one.",
        "Set the directory of one saved adapter.",
    ),
    "weights_are_not_weights": ("{name} {problem}.", "Download the weights themselves."),
    "safetensors_incomplete": ("{name} is not a complete safetensors file: it {problem}.", "Download it again."),
    "safetensors_by_name_only": (
        "{name} {problem}; because of its name the trainer reads it as safetensors and fails.",
        "Download the weights themselves, or convert them to safetensors.",
    ),
    "zip_truncated": ("{name} is a truncated zip file: its download is incomplete.", "Download it again."),
    # trainers/diffusion_pipe/preset_check.py
    "preset_other_type": ("The type is not that of the preset.", "Remove it."),
    "preset_names_dataset": ("A preset names no dataset.", "Remove it."),
    "preset_secret": ("This looks like a secret, which a preset must not contain.", "Remove it."),
    # trainers/diffusion_pipe/preview.py
    "preview_too_long": ("The check took too long and was cancelled.", "Use fewer sizes."),
    # trainers/diffusion_pipe/slots_check.py
    "quantised_not_loadable": (
        "{title}, which the trainer cannot load correctly for this type.",
        "Use the bf16 or fp16 file, or a plain fp8 file without scales.",
    ),
    "quantised_not_trainable": (
        "{title}; such weights cannot be trained in full.",
        "Use the bf16 file, or add [adapter].",
    ),
    # trainers/diffusion_pipe/request.py
    "configuration_twice": (
        "The request contains its configuration both as text and in structured form.",
        "Send either `config` and `dataset`, or `config_toml` and `dataset_toml`.",
    ),
    "configuration_missing": (
        "The request has no configuration.",
        "Send either `config` and `dataset`, or `config_toml` and `dataset_toml`.",
    ),
    "configuration_part_missing": (
        "`{name}` is missing.",
        "Send either `config` and `dataset`, or `config_toml` and `dataset_toml`.",
    ),
    "configuration_not_object": (
        "`{name}` is not an object.",
        "Send either `config` and `dataset`, or `config_toml` and `dataset_toml`.",
    ),
    "list_mixed": (
        "This list mixes types of values, which the trainer's TOML parser rejects.",
        "Use values of one type: all numbers, or all strings.",
    ),
    "null_in_toml": ("TOML has no null.", "Remove the key."),
    "value_unparsable": ("The trainer's TOML parser cannot read this.", "Simplify it."),
    "configuration_unparsable": ("The trainer's TOML parser cannot read this configuration.", "Simplify it."),
    "group_not_object": ("`{group}` is not an object.", "Write the keys of `{group}` as an object."),
    "key_twice": ("`{name}` is set twice.", "Set it only once."),
    "directories_twice": ("`directory` and `directories` are both set.", "Set only `directories`."),
    # trainers/diffusion_pipe/silent_check.py
    "wandb_key_empty": (
        "The key is empty, so Weights & Biases prompts for one and the training waits.",
        "Set the key here, or in `env` as {variable}.",
    ),
    "not_read_for_model": ("The trainer does not read this for {model_type}.", "Remove it."),
    "guidance_in_quotes": ("The trainer fails on a number in quotes.", "Write it without quotes."),
    "text_embeddings_cached": (
        "The trainer always caches text embeddings of {model_type}; this only keeps the encoders in memory.",
        "Remove it.",
    ),
    "cosine_rises": (
        "The cosine scheduler ends at {end}, so the learning rate rises from {rate}.",
        "Set a higher `lr`, or lr_scheduler = 'linear'.",
    ),
    "shift_overrides": ("`shift` is set as well and takes precedence.", "Remove one of them."),
    "sigmoid_scale_ignored": ("This key is ignored with timestep_sample_method = 'uniform'.", "Remove one of them."),
    "schedule_hardly_falls": (
        (
            "The {scheduler} scheduler lowers the learning rate over {planned} steps (all epochs), but the "
            "training ends after {total_steps}, when it has hardly fallen."
        ),
        "Set fewer epochs, so that they end near max_steps.",
    ),
    "epochs_read_later": (
        "`epochs` is missing, and the trainer reads it when the first epoch ends, after {steps_per_epoch} steps.",
        "Set the number of epochs.",
    ),
    "warmup_too_long": (
        "The whole training has {total_steps} steps: the learning rate never reaches its value.",
        "Set fewer warmup_steps.",
    ),
    "loss_fails_on_videos": ("The trainer fails on videos with this loss.", "Remove it, or train on images only."),
    "multiscale_without_effect": (
        "The loss at several scales has an effect only from {side} pixels, and all sizes are smaller.",
        "Remove it, or set larger resolutions.",
    ),
    "loss_enabled_by_presence": (
        "The trainer only checks whether the key exists, so this value enables the loss.",
        "Remove the key.",
    ),
    "min_snr_zero": ("0 multiplies the loss by 0, so nothing is learned.", "Set for example 5, or remove the key."),
    "not_read_for_sdxl": ("The trainer does not read this for sdxl.", "Remove it."),
    "ar_bucket_off": (
        "Without enable_ar_bucket this key is ignored, and all media are cropped to squares.",
        "Set enable_ar_bucket = true.",
    ),
    "shuffle_off": (
        "Without cache_shuffle_num or shuffle_tags nothing is shuffled, so this key is ignored.",
        "Set cache_shuffle_num, or remove this key.",
    ),
    "delimiter_empty": (
        "An empty delimiter cannot split a caption, and the trainer fails.",
        "Set for example ', ', or remove the key.",
    ),
    "control_images_unsupported": (
        "{model_type} does not support control images. The trainer would hang and occupy its GPUs.",
        "Remove the key, or train one of {editors}.",
    ),
    "frames_rounded": ("The trainer uses {used} of these {length} frames: a multiple of {step}{plus}.", None),
    # trainers/diffusion_pipe/slots_check.py
    "weights_missing": ("{directory} has no weights.", "Download all files of the model into it."),
    "tensors_missing": ("The weights in {directory} lack {named}{more}.", "Download the missing files."),
    "adapter_not_model": ("{name} is an adapter ({kind}), not a model.", None),
    "component_other": ("{name} is {component_title}.", None),
    "tensor_prefix": (
        "{name} is {component_title} with the prefix `{left}` in tensor names, which the trainer keeps.",
        "Use the file without that prefix.",
    ),
    "file_doubtful": ("{path} {what}; the trainer may not be able to use it.", None),
    "flux2_widths": ("{found} only {widths}.", "Set the path of the weights of Flux 2 dev, Klein 4B or Klein 9B."),
    "model_distilled": ("This model is distilled for guidance, and the trainer rejects it.", "Use the base model."),
    "vae_missing": ("This file has no VAE, which the trainer reads from it.", "Use the complete checkpoint."),
    "encoder_does_not_fit": (
        "{path} is {encoder_title}; with {main_title} the trainer fails at the first step.",
        "Set the path of {title}.",
    ),
    "component_twice": ("Set twice: {component_title}.", "Set the path of {missing} here."),
    "encoder_type_other": (
        (
            "The text encoder of {model_type} needs the type `{expected}`. With `{kind}` ComfyUI may use the "
            "tokenizer of another model, so that the trainer fails or learns from wrong captions."
        ),
        "Set type = '{expected}'.",
    ),
    # trainers/diffusion_pipe/toml_parsing.py
    "toml_too_deep": ("This TOML cannot be read: a number is too long, or the nesting is too deep.", "Simplify it."),
    "dates_unsupported": ("The trainer does not support dates and times.", "Write it in quotes."),
    "array_mixed": (
        "This array mixes types of values, which the trainer's TOML parser rejects.",
        "Use values of one type: [1.0, 2.5] instead of [1, 2.5].",
    ),
    "toml_rejected": (
        "The trainer's TOML parser rejects this{where}.",
        "Simplify it; the parser supports only TOML 0.5.",
    ),
    "inline_tables": (
        "Inline tables (in braces) in a dataset can break the trainer's caching.",
        "Write [[directory]] with one line per key.",
    ),
    "toml_read_otherwise": (
        "The trainer's TOML parser reads other values than the text has.",
        "Simplify it; the parser supports only TOML 0.5.",
    ),
    # trainers/diffusion_pipe/wan_files.py
    "wan_config_missing": (
        "This directory has no readable config.json of a Wan model.",
        "Set the directory of the original checkpoint; for Wan 2.2 also set transformer_path to its subdirectory.",
    ),
    "wan_unsupported": (
        "The trainer supports no Wan model of type `{kind}` and width {width}.",
        "Use a supported model: T2V, I2V, FLF2V of 2.1, T2V, I2V, TI2V-5B of 2.2.",
    ),
    "wan_tokenizer_missing": (
        "The tokenizer's directory `{tokenizer}` is missing in it.",
        "Download the original checkpoint; you may omit its transformer if you have it as a file.",
    ),
    "wan_transformer_missing": (
        "This directory has no weights of the transformer.",
        "Download them, or set transformer_path to a file or, for Wan 2.2, to one of its two subdirectories.",
    ),
    "wan_config_differs": (
        "These weights are {title}, but config.json names `{type}` with width {width}.",
        "Set a ckpt_path whose config.json has model_type `{expected_type}` and dim {expected_width}.",
    ),
    "wan_file_missing": ("`{name}` is missing in it.", "{action}."),
    "wan_file_unreadable": ("`{name}` in it cannot be read.", "Give the service's user read permission."),
    "wan_file_other": ("`{name}` in it is {title}.", "Download it from the original checkpoint again."),
    "wan_file_safetensors": (
        "`{name}` in it is a safetensors file, but the trainer unpickles files with this name and fails.",
        None,
    ),
    # trainers/diffusion_pipe/weights_check.py
    "blocks_too_many": (
        (
            "This model has {blocks} blocks, of which at most {most} can be swapped; with more, the trainer "
            "fails after loading."
        ),
        "Set blocks_to_swap to {most} or less.",
    ),
    "dtype_too_small": ("The trainer also casts VAE and text encoders to this type, in which they do not work.", None),
    "adapter_dtype_too_small": ("An adapter cannot be trained in this type.", "Set dtype = 'bfloat16' in [adapter]."),
    "weights_dtype_too_small": (
        "Without [adapter] the weights themselves are trained, which is impossible in this type.",
        "Remove the key, or add [adapter].",
    ),
    "float8_e5m2_only": ("Of the small types, this model is known to work only with float8_e5m2.", "Set float8_e5m2."),
    "checkpoint_file_missing": ("`{name}` is missing in it.", "Download the original checkpoint, or set {key}."),
    "encoder_weights_missing": (
        "Its directory `{part}` has no weights, and `{key}` is not set.",
        "Download the text encoder into it, or set {key}.",
    ),
    "part_weights_missing": (
        "Its directory `{part}` has no .safetensors files, and `{key}` is not set.",
        "Download the complete model, or set {key}.",
    ),
    "not_an_adapter": ("{path} is {component_title}.", "Set the path of an adapter (LoRA)."),
    "adapter_not_recognised": (
        "{path} is not recognised as an adapter; the trainer may fail to load it.",
        "Set the path of an adapter (LoRA) for {model_type}.",
    ),
    "adapter_of_other_model": (
        "{path} is an adapter for {trained_for}.",
        "Set the path of an adapter for {model_type}.",
    ),
    # trainers/environment.py
    "env_too_many": ("The request sets {count} variables; the limit is {max_variables}.", "Remove some."),
    "env_not_allowed": ("The variable {name} cannot be set by a request.", None),
    "env_not_string": ("The value is not a string.", "Write it in quotes."),
    "env_too_long": ("The value is longer than {most} characters.", "Shorten it."),
    "env_not_one_line": ("The value contains a control character or a line break.", "Write it on one line."),
    "env_of_other_kind": ("The value is not {kind}.", "{variable} is {meaning}."),
    "env_directory_elsewhere": (
        "The directory is not below {below}.",
        "Choose a directory there, or have the operator add one to TRAINER_CACHE_ROOTS.",
    ),
    # trainers/request_texts.py
    "address_with_password": (
        "An address here contains a user name or password, which would be stored and shown.",
        "Remove them from the address; put secrets into `env`.",
    ),
    # trainers/toy/settings.py
    "toy_dataset_setting_unknown": (
        "The toy trainer has no dataset setting `{name}`.",
        'Set {"directories": [{"path": "/…"}]}, or remove the dataset: the toy then draws its own pictures.',
    ),
    "toy_directories_missing": (
        "The dataset has no directories.",
        'Set {"directories": [{"path": "/…"}]}, or remove the dataset: the toy then draws its own pictures.',
    ),
    "toy_too_many_pictures": ("The dataset has {items} pictures; the limit is {max_pictures}.", "Use fewer."),
    "toy_path_missing": (
        "The directory has no `path`.",
        'Set {"directories": [{"path": "/…"}]}, or remove the dataset: the toy then draws its own pictures.',
    ),
    "toy_directory_setting_unknown": ("The toy trainer has no directory setting `{name}`.", "Remove it."),
    "toy_path_relative": ("The path is not absolute.", "Start it with `/`."),
    "toy_path_unreadable": ("{path} cannot be read: {reason}.", "Correct the path."),
    "toy_directory_empty": ("The directory has no pictures or videos.", "Add some: {endings}."),
    "toy_epochs_missing": ("`epochs` is missing.", "Set {expected}."),
    "toy_not_table": ("`{name}` is not a table.", "Write it as a table with its settings: {tables}."),
    "toy_setting_unknown": ("The toy trainer has no setting `{name}`.", None),
    "toy_value_invalid": ("`{name}` cannot be {value}.", "Set {expected}."),
    # trainers/toy/trainer.py
    "toy_configuration_twice": (
        "The request contains its configuration both as text and in structured form.",
        "Send only one of them.",
    ),
    "toy_set_by_service": ("`{name}` is set by the service; this value is ignored.", "Remove it."),
    "toy_without_effect": ("The toy draws its own pictures and caches none, so this has no effect.", "Remove it."),
    # training/request_check.py
    "rehearsal_unsupported": ("The trainer {trainer} supports no rehearsals.", None),
    "no_trainer_for_model": ('No trainer knows the model type "{name}".', None),
    "unknown_time_zone": (
        '"{name}" is no time zone that this machine knows.',
        'Write a name of the IANA database, such as "Europe/Berlin".',
    ),
    "power_limit_range": (
        "{watts} W is outside of what this GPU accepts.",
        "Choose between {lowest} and {highest} W.",
    ),
    "gpu_twice": ("This GPU is listed twice.", "List each GPU once."),
    "channel_unknown": ('There is no channel "{name}".', None),
    "weights_too_large": (
        (
            "The weights alone need {weights} MB on each GPU, but a GPU here has {small} MB: the trainer will"
            " run out of memory when loading them."
        ),
        (
            "Train them as float8, use a quantised file, set blocks_to_swap, use more pipeline_stages, or "
            "request a larger GPU."
        ),
    ),
    "disk_too_small": (
        (
            "Its saved models and checkpoints need about {needed} GB of disk, and {free} GB are usable under "
            "{storage_root}: the disk will be full before it ends."
        ),
        "Save less often (save_every_n_epochs, checkpoint_every_n_epochs), or free disk space.",
    ),
    "samples_unsupported": ("This service renders no samples.", None),
    # training/samples.py
    "no_comfyui": (
        "There is no ComfyUI to render samples: set {settings}.",
        "Leave `samples` out, or ask an administrator.",
    ),
    "trigger_unknown": (
        "The prompts contain {trigger}, and no trigger word of the dataset is known.",
        "Give it as the trigger word, or write it into the prompts.",
    ),
    # sampling, sweeps: a reason that has its own text
    "refused": ("{why}", None),
    # training/sweep_variants.py
    "sweep_not_queued": (
        "The trainings of a sweep wait for their GPUs.",
        "Leave it out, or start a single training.",
    ),
    "sweep_too_large": (
        "These are {number} trainings, and a sweep has at most {most}.",
        "Try fewer values, or make several sweeps.",
    ),
    "sweep_pointer_invalid": (
        "This is no JSON pointer to a setting that can vary.",
        "Begin it with {fields}: for example /config/optimizer/lr.",
    ),
    "secret_varies": ("A secret cannot vary.", "Write it into the request."),
    "sweep_pointer_contained": ("Another of these pointers contains this setting.", "Leave one of them out."),
    "sweep_value_twice": ("The value {value} is there twice.", "List each value once."),
    "sweep_setting_missing": (
        "The request has no such setting.",
        "Correct the pointer, or write the setting into the request.",
    ),
    # access/readable_paths.py
    "path_of_others": (
        "This path leads to files of the service or of another user.",
        'Use a dataset ("dataset": "name"), the output of one of your tasks, or other files.',
    ),
    # training/cluster.py
    "constraint_unsatisfied": (
        'No node of the cluster satisfies the constraint "{constraint}" in that partition.',
        None,
    ),
    "constraint_invalid": (
        '"{constraint}" is not a valid Slurm constraint.',
        "Join features by & or |, for example h100&nvlink.",
    ),
    "feature_unknown": ('No node of the cluster has the feature "{name}".', None),
    "partition_invalid": ('"{name}" is not a partition.', "Partitions: {partitions}."),
    "partition_unknown": ('The cluster has no partition "{name}".', "Partitions: {partitions}."),
    # training/dataset_use.py
    "caches_unsupported": ("This service does not prebuild caches.", None),
    # training/resume_points.py
    "text_key_fixed": (
        "This cannot be removed from the task's own text.",
        "Send the whole text as `config_toml`.",
    ),
    "text_values_fixed": (
        "These values cannot be set in the task's own text.",
        "Send the whole text as `config_toml`.",
    ),
    # training/sweeps.py
    "sweep_disk_too_small": (
        "The {number} trainings together need about {needed} GB of disk, and {free} GB are free.",
        "Free some space, save less often, or try fewer values.",
    ),
    "in_some_trainings": ("{values}{others}: {inner}", None),
    "adapter_kind_unsupported": (
        "This adapter is of kind {kind}, which the trainer cannot continue.",
        "Set the path of a LoRA, or remove the key.",
    ),
    "files_fit_no_bucket": (
        "{unfit} of {items} files fit no bucket (too short for the requested frames) and are skipped.",
        "{advice}",
    ),
    "videos_fit_no_bucket": (
        (
            "{unfit} of {items} files are videos, which never use the bucket of 1 frame, and frame_buckets has no "
            "other; they are skipped."
        ),
        "{advice}",
    ),
    "files_damaged": (
        (
            "{count} of {media} files are damaged or truncated images. The trainer would hang and occupy its "
            "GPUs: {names}."
        ),
        "Copy or download them again, or remove them from the directory.",
    ),
    "captions_empty": (
        "{count} of {media} files have an empty caption file; they are trained without a caption: {names}.",
        "Write captions into them.",
    ),
    "files_linked": (
        "{count} of {media} files are directories or links to missing files; the trainer skips them: {names}.",
        "Correct the links, or remove them.",
    ),
    "captions_marked": (
        (
            "{count} of {media} files have a caption that starts with an invisible byte-order mark, which the"
            " trainer keeps: {names}."
        ),
        "Save the captions as UTF-8 without a byte-order mark (BOM).",
    ),
    "gifs_still": (
        "{count} of {media} files are animated GIFs, of which the trainer uses the first frame: {names}.",
        "Convert them to videos.",
    ),
    "webp_animated": (
        "{count} of {media} files are animated WebP images. The trainer would hang and occupy its GPUs: {names}.",
        "Convert them to videos, or to still images.",
    ),
    "webp_unreadable": (
        (
            "{count} of {media} files are WebP files that cannot be read. The trainer would hang and occupy "
            "its GPUs: {names}."
        ),
        "Remove or replace them.",
    ),
    "files_broken": (
        "{count} of {media} files cannot be opened as image or video; the trainer skips them: {names}.",
        "Replace or remove them.",
    ),
    "endings_mixed_case": (
        (
            "{count} of {media} files are videos that the trainer takes for images and skips, because their "
            "endings mix cases: {names}."
        ),
        "Rename them: the trainer knows .mp4 and .MP4, but not .Mp4.",
    ),
    "videos_unsupported": (
        "{count} of {media} files are videos, which this model type does not support; they are skipped: {names}.",
        "Remove them.",
    ),
    "images_unsupported": (
        "{count} of {media} files are images; this model trains on videos only, and the trainer fails: {names}.",
        "Remove them.",
    ),
    "caption_lists_invalid": (
        (
            "{count} of {media} files have an entry in captions.json that is not a list of strings. The "
            "trainer would hang and occupy its GPUs: {names}."
        ),
        'Write a list of captions: ["a caption"].',
    ),
    "caption_lists_empty": (
        "{count} of {media} files have an empty list in captions.json; they are not used: {names}.",
        "Add captions to the list.",
    ),
    "archives_compressed": (
        "{count} of {media} files are not plain .tar files. The trainer would hang and occupy its GPUs: {names}.",
        "Create them again without compression: tar -cf.",
    ),
    "captions_not_utf8": (
        (
            "{count} of {media} files have a caption file that cannot be read as UTF-8. The trainer would "
            "hang and occupy its GPUs: {names}."
        ),
        "Save it as UTF-8.",
    ),
    "masks_missing": (
        "{count} of {media} files have no mask; they are trained without one: {names}.",
        "Add masks with the same names.",
    ),
    "masks_unreadable": (
        (
            "{count} of {media} files have a mask that cannot be read. The trainer would hang and occupy its "
            "GPUs: {names}."
        ),
        "Replace it. Move captions and other files without images out of this directory.",
    ),
    "masks_of_other_size": (
        "{count} of {media} files have a mask of another size. The trainer would hang and occupy its GPUs: {names}.",
        "Give it the size of the image.",
    ),
    "control_images_missing": (
        "{count} of {media} files have no control image. The trainer would hang and occupy its GPUs: {names}.",
        "Add control images with the same names.",
    ),
    "control_images_for_others": (
        (
            "{count} of {media} files are no images or videos, but the trainer needs a control image for each"
            " file. The trainer would hang and occupy its GPUs: {names}."
        ),
        "Move them out of this directory.",
    ),
    "archives_uncontrolled": (
        (
            "{count} of {media} files are archives, and a file in them has no control image. The trainer would hang "
            "and occupy its GPUs: {names}."
        ),
        "Add a control image for each name in the .tar, or move the archive into a directory without control_path.",
    ),
    "control_images_unreadable": (
        (
            "{count} of {media} files have a control image that cannot be read. The trainer would hang and "
            "occupy its GPUs: {names}."
        ),
        "Replace it. Move captions and other files without images out of this directory.",
    ),
    "no_usable_files": ("None of its files can be used with this model type.", "{advice}"),
    "all_files_unreadable": (
        "All {media} files are {endings}, which no model type can read.",
        "Convert them to JPEG or PNG.",
    ),
    "no_media": ("None of its {media} files is an image or a video.", "Set the directory of the images."),
    "no_captions": ("None of its {files} files has a caption, and the trainer skips files without one.", "{advice}"),
    "all_captions_of_other_kind": (
        "All {files} captions end in {endings}, but the trainer reads only .txt.",
        "{advice}",
    ),
    "key_new": ("The installed trainer reads `{name}`, which this service does not know or check.", None),
    "model_type_missing": ("`type` is missing.", "Set type = '{type}'."),
    "model_type_not_string": ("`type` is not a string.", "Set type = '{type}'."),
    "optimizer_type_missing": ("`type` is missing.", "Set for example 'adamw_optimi'."),
    "optimizer_type_not_string": ("`type` is not a string.", "Set for example 'adamw_optimi'."),
    "optimizer_takes_object": (
        "{name} takes `{object}`, but the trainer passes a list of parameters, and it fails after loading.",
        "Use another optimizer, for example adamw_optimi.",
    ),
    "optimizer_needs_closure": (
        "{name} computes the loss several times in a step, which the trainer does not support.",
        "Use another optimizer, for example adamw_optimi.",
    ),
    "optimizer_needs_groups": (
        "{name} needs groups of parameters that the trainer does not create.",
        "Set type = 'genericoptim' and muon = true.",
    ),
    "optimizer_needs_graph": (
        "{name} needs second derivatives, which the trainer does not compute.",
        "Use another optimizer, for example adamw_optimi.",
    ),
    "optimizer_number_not_positive": ("The optimizer rejects this number.", "Set a number above 0."),
    "optimizer_number_negative": ("The optimizer rejects this number.", "Set a number of 0 or more."),
    "optimizer_package_missing": (
        (
            "`{name}` is not built into the trainer, and its environment lacks pytorch_optimizer, where the trainer "
            "looks for other optimizers."
        ),
        None,
    ),
    "optimizer_unknown": ("Neither the trainer nor the installed pytorch_optimizer has an optimizer `{name}`.", None),
    "path_with_space": ("The path starts or ends with a space, and does not exist.", "Remove the space."),
    "path_not_resolved": ("This path does not exist: `{mark}` is not resolved.", "Write the full path."),
    "path_with_backslashes": (
        "This path does not exist: it has backslashes, as on Windows.",
        "Write the path on the server, with /.",
    ),
    "path_by_broken_link": (
        "{name} is a link to a file or directory that does not exist.",
        "Correct the link, or set the path of the file or directory itself.",
    ),
    "path_missing": ("This path does not exist.", "Correct the path."),
    "header_too_large": (
        "{name} has a header that is too large to check; it may be the wrong file.",
        "Verify that it is the right file.",
    ),
    "pickle_may_run_code": ("{name} {form}, and run it when it is loaded.", None),
    "format_may_run_code": (
        "{name} is not a safetensors file; other formats can contain code that the trainer would run.",
        None,
    ),
    "index_leads_outside": (
        "The index of the weights in {directory} refers to a file outside of it: {outside}.",
        "Download the model again from a trusted source.",
    ),
    "configuration_too_large": ("{why}", "Remove some of it, or simplify it."),
    "toml_marked": (
        "An invisible byte-order mark is the first character, and the trainer reads it as part of a key.",
        "Save the file as UTF-8 without a byte-order mark (BOM).",
    ),
    "toml_key_twice": ("`{name}` is set twice, the second time in line {line}.", "Remove one of them."),
    "toml_leading_zero": (
        "`{part}` has a leading zero in line {line}, column {column}, which is not valid TOML.",
        "Write {rest}.",
    ),
    "toml_no_digit_before": (
        "`{part}` has no digit before the point in line {line}, column {column}, which is not valid TOML.",
        "Write 0.{rest}.",
    ),
    "toml_no_digit_after": (
        "`{part}` has no digit after the point in line {line}, column {column}, which is not valid TOML.",
        "Write {rest}.0.",
    ),
    "toml_capital_letter": (
        "`{part}` starts with a capital letter in line {line}, column {column}, which is not valid TOML.",
        "Write true or false.",
    ),
    "toml_null": ("TOML has no `{part}` in line {line}, column {column}, which is not valid TOML.", "Remove the key."),
    "toml_typographic_quote": (
        "`{part}` is a typographic quote in line {line}, column {column}, which is not valid TOML.",
        "Use straight quotes: ' or \".",
    ),
    "toml_backslash": (
        ("A backslash in double quotes starts an escape in line {line}, column {column}, which is not valid TOML."),
        "Use single quotes.",
    ),
    "toml_unquoted": (
        "`{part}` is a string without quotes in line {line}, column {column}, which is not valid TOML.",
        "Write '{part}'.",
    ),
    "toml_invalid": ("This is not valid TOML: {mistake}.", "Correct the text at this position."),
    "toy_too_many_directories": ("The dataset has more than {most} directories.", "Remove some."),
    "toy_uses_no_masks": (
        "The toy trains on whole pictures: it uses no masks and no control images.",
        "Train another model type to use them.",
    ),
    "toy_files_damaged": (
        "{count} of {files} files are unreadable or truncated, and are skipped: {names}.",
        "Replace or remove them.",
    ),
    "toy_unreadable": ("{why}", "Correct it."),
    "gpu_missing": ("There is no GPU with the index or UUID {gpu}.", "Existing GPUs: {existing}."),
    "gpu_on_no_node": ("No node on which trainings can start has the GPU {gpu}.", "Existing GPUs: {existing}."),
    "gpus_on_several_nodes": (
        "These GPUs are on several nodes, but a training runs on a single node.",
        "Choose GPUs of one node.",
    ),
    "urgent_on_cluster": (
        "On a cluster, an urgent training starts first but makes no other one stop.",
        "Set slurm.qos or slurm.partition to one that preempts others in Slurm.",
    ),
    "no_cluster": (
        "Trainings run on this machine (EXECUTOR=local), without partitions, accounts or limits.",
        "Remove it, or use a service with EXECUTOR=slurm.",
    ),
    "dataset_files_changed": (
        "{count} of {items} files have changed or were deleted since this version: {names}.",
        "Make a version of the current files: POST …/refresh.",
    ),
    "dataset_files_unreadable": (
        "{count} of {items} files cannot be read as images or videos: {names}.",
        "Remove or replace them.",
    ),
    "dataset_images_damaged": (
        (
            "{count} of {items} files are images whose data is damaged or incomplete; a trainer fails or "
            "hangs on them: {names}."
        ),
        "Copy or download them again, or remove them.",
    ),
    "dataset_videos_damaged": (
        "{count} of {items} files are videos that are incomplete or have damaged frames: {names}.",
        "Copy or download them again, or remove them.",
    ),
    "dataset_captions_missing": (
        (
            "{count} of {items} files have no caption; they are not trained on unless skip_empty_caption is "
            "false: {names}."
        ),
        "Add captions to them.",
    ),
    "dataset_captions_empty": (
        "{count} of {items} files have an empty caption; they are trained without one: {names}.",
        "Add captions to them.",
    ),
    "dataset_files_turned": (
        (
            "{count} of {items} files are rotated by metadata; the trainer chooses their crop by the sides as"
            " stored: {names}."
        ),
        "Save them rotated, without that metadata.",
    ),
    "dataset_rates_variable": (
        (
            "{count} of {items} files have a variable frame rate; the trainer treats their frames as evenly "
            "spaced, and may use fewer: {names}."
        ),
        "Convert them to a constant frame rate.",
    ),
    # trainers/diffusion_pipe/dataset_scan.py
    "directory_without_media": (
        "This directory has no images or videos. The trainer would hang and occupy its GPUs.",
        "Set the directory that contains them.",
    ),
    "online_captions_not_found": (
        (
            "With online_captions the trainer looks captions up by the whole path of a file, finds none, and "
            "trains on empty captions."
        ),
        "Remove online_captions, or pack the files into a .tar.",
    ),
    "captions_json_needed": (
        "online_captions needs a captions.json in this directory.",
        "Add it, or remove online_captions.",
    ),
    "captions_json_marked": (
        "captions.json starts with an invisible byte-order mark. The trainer would hang and occupy its GPUs.",
        "Save it as UTF-8 without a byte-order mark (BOM).",
    ),
    "captions_json_invalid": (
        "captions.json is not a JSON object. The trainer would hang and occupy its GPUs.",
        'Write {"name.png": ["a caption"]}.',
    ),
    # datasets/
    "blobs_missing": ("{count} files are not in the store. The first has the SHA-256 {sha256}.", "Upload them first."),
    "items_too_many": ("There are more than {most} items.", "Make two datasets."),
    "items_too_long": (
        "The paths and captions have more than {most} characters in total.",
        "Shorten captions, or make two datasets.",
    ),
    "item_path_invalid": (
        "{path} is not a valid path in a dataset, or contains characters that are not allowed.",
        None,
    ),
    "item_path_twice": ("Two items have the path {path}.", None),
    "item_path_taken": (
        "{dataset} already has an item with the path {path}.",
        "Leave it out, or choose another dataset.",
    ),
    "item_paths_clash": ("{path} {why}.", "Leave it out, or choose another dataset."),
    "caption_too_long": ("The caption of {path} has more than {most} characters.", None),
    "caption_would_be_long": (
        "The caption of {path} would have more than {most} characters.",
        "Shorten it, or leave the item out.",
    ),
    "directory_not_absolute": ("The path is not absolute.", "Start it with `/`."),
    "directories_not_permitted": (
        "This server does not permit registered directories.",
        "Use a directory below one of DATASET_DIRECTORIES that does not belong to another user.",
    ),
    "directory_not_permitted": (
        "This directory is not permitted.",
        "Use a directory below one of DATASET_DIRECTORIES that does not belong to another user.",
    ),
    "directory_not_found": ("There is no such directory.", "Correct the path."),
    "directory_unreadable": ("The path cannot be read: {why}.", "Correct the path."),
    "directory_not_registered": (
        '"{directory}" is not registered as a dataset.',
        "Register it first: POST /datasets with name and directory.",
    ),
    "model_type_without_rules": ('No trainer with dataset rules has the model type "{name}".', None),
    "model_type_of_no_trainer": ('No trainer has the model type "{name}".', None),
    "model_type_needed": ("The model type is missing.", "Set model_type."),
    "batch_invalid": ("must consist of at most 64 letters, digits, _ and -", "Set it together with batch_size."),
    "uploads_in_batch_invalid": (
        "must be the number of uploads in the batch, from 1 to {most}",
        "Set it together with batch.",
    ),
    "dataset_missing": ("is missing", "Set it to the name of a dataset; a new dataset is created."),
    "dataset_name_not_allowed": ("is not a dataset name: use at most 100 letters, digits, . _ and -", None),
    "dataset_name_invalid": (
        '"{name}" is not the name of a dataset.',
        'Use a dataset from GET /datasets: "name", "name@3", or "name@sha256:…".',
    ),
    "dataset_not_usable": ("{why}", 'Use a dataset from GET /datasets: "name", "name@3", or "name@sha256:…".'),
    "dataset_not_string": ("The value is not a string.", 'Use "name" or "name@3".'),
    "dataset_and_path": ("The directory has both `dataset` and `path`.", "Set either `dataset` or `path`."),
    "dataset_version_empty": ("Version {version} of {name} has no items.", None),
    "directories_not_insertable": (
        "The service cannot insert the directories of datasets into this text.",
        "Write each directory as a separate [[directory]] table.",
    ),
    "filename_refused": ('"{name}" {why}', None),
    "upload_kind_unknown": ("must be item, archive, model or sample; if omitted, the content decides", None),
    "items_of_upload_too_many": (
        "More than {most} items cannot be preprocessed in a dataset with other items.",
        "Upload them into a separate dataset.",
    ),
    "frame_not_used": ("The trainer uses {count} frames of the item.", "Use 0 to {last}."),
    "split_into_itself": ("This is the dataset itself.", "Choose another dataset."),
    "video_missing": ("is missing", "Send the video, image or archive as video or file."),
    "file_missing": ("is missing", None),
    "file_empty": ("is empty", None),
    "all_items_have_captions": ("Every item has a caption.", "Set only_missing: false to rewrite all captions."),
    "version_without_items": ("The version has no items.", "Set only_missing: false to rewrite all captions."),
    "caption_model_missing": ("No model is set.", "Set model, or CAPTION_MODEL."),
    "scenes_not_installed": ("{why}.", "Cut by seconds, or ask the administrator of this server to install it."),
    "files_to_process_too_many": (
        "One task processes at most {most} files; this request has {number}.",
        "Divide the dataset.",
    ),
    "no_item_left": ("The dataset would have no items left.", "Keep at least one item, or delete the dataset."),
    "no_item_included": (
        "Every remaining item would be excluded, so nothing would be trained on.",
        "Keep at least one item included.",
    ),
    # catalog/
    "sample_missing": ("is missing", "Send the picture or clip as file."),
    "name_of_model_needed": ("must be the name of the model", None),
    "digits_needed": ("must be at most 20 digits", None),
    "version_number_needed": ("must be the number of a version", None),
    "step_number_needed": ("must be a number, at most {most}", None),
    "prompt_too_long": ("must have at most {most} characters", None),
    "key_of_other_model": ("must be a key of {model_type}: {known}", None),
    "private_host": (
        (
            "{host} leads to a private address; if that is intended, an administrator can list it in "
            "PRIVATE_HOSTS_ALLOWED"
        ),
        None,
    ),
    "download_name_refused": (
        "{why}",
        "Use a name like cats.safetensors, or a path below the downloads like flux/cats.safetensors.",
    ),
    "model_name_invalid": ("must be the name of the model: at most 100 letters, digits, and . _ -", None),
    "sha256_invalid": ("must be 64 hexadecimal digits", None),
    "model_type_of_trainer_needed": ("must be a model type of the trainer", None),
    "component_key_needed": ("must be a key of [model] of the given model_type", None),
    # access/
    "user_name_reserved": ("is reserved for the service; choose another name", None),
    "user_name_is_key": ("looks like a key; give the name of the user instead", None),
    "time_not_in_future": ("must be in the future", None),
    # alerts/
    "time_not_after_start": ("must be in the future and after the start", None),
    "silence_too_long": ("must be at most {days} days after the start", None),
    "rule_field_fixed": (
        "cannot be changed in a built-in rule; {known} can",
        "create a custom rule with the other fields, and disable this one",
    ),
    "rule_without_threshold": ("cannot be changed: the rule has no threshold", None),
    "rule_condition_outdated": (
        "cannot be enabled: its condition comes from an older version and has more than one clause",
        "set its metric, comparison and value",
    ),
    "metric_unknown": ("is not a metric of the scope {scope}; GET /alerts/metrics lists them", None),
    "metric_unknown_similar": ('is not a metric of the scope {scope}; did you mean "{similar}"?', None),
    "idle_command_missing": (
        "needs a command, and this machine's operator has set none",
        ("set IDLE_COMMAND on the machine, as in `IDLE_COMMAND=/usr/bin/systemctl poweroff`, and restart the service"),
    ),
    "action_twice": ("lists an action twice", None),
    "action_needs_scope": ("{action} needs a rule of scope {scopes}; this rule has scope {scope}", None),
    "action_needs_idle_rule": (
        "{action} needs a rule that is true only on an idle machine",
        "set the rule's condition to `{metric}` at least 1",
    ),
    "signing_key_of_webhooks": ("applies to webhooks only; remove it, since other channels are not signed", None),
    "address_unreadable": ("cannot be read: percent-encode its special characters", None),
    "address_without_scheme": ("must begin with a scheme such as mailtos:// or ntfys://", None),
    "address_scheme_unsupported": (
        "has the scheme {scheme}://, which is not supported here; for a webhook, use the channel kind webhook",
        None,
    ),
    "address_scheme_unknown": ("has the scheme {scheme}://, which Apprise does not know", None),
    "address_invalid": ("is not a valid {scheme}:// address; Apprise's page of this service describes its form", None),
    "address_option_unsupported": ("has an option that is not supported: {option}", None),
    "address_private": (
        "leads to a private address; if that is intended, an administrator can list it in PRIVATE_HOSTS_ALLOWED",
        None,
    ),
    "webhook_unreadable": ("cannot be read; it must look like https://host/path", None),
    "webhook_without_host": ("must look like https://host/path", None),
    "webhook_with_password": (
        "must not contain a user name or password; use `signing_key` to sign messages instead",
        None,
    ),
    "webhook_not_ascii": ("must be plain ASCII without spaces; percent-encode other characters", None),
    "signing_key_invalid": (
        "needs a signing key of the form whsec_ followed by the base64 of 24 to 64 random bytes",
        None,
    ),
    # presets/
    "preset_too_large": ("{why}", "Leave some out."),
}
