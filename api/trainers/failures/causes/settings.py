"""TOML, and the values of settings."""

from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "toml",
        pattern=r"(?i)TOMLDecodeError.{0,400}\((?:at )?(line \d+,? column \d+)",
        remedy=(
            "the TOML is wrong at {what}: write each key once, text and paths in single quotes ('C:\\data'), "
            "lists of one type in brackets ([512, 768]), numbers as 0.5 or 2e-5, true and false in lower case, "
            "[model] or [[directory]] alone in a line, and comments after #"
        ),
        remedy_zh=(
            "TOML 在 {what} 处有误：每个键只写一次，文字与路径写在单引号中（'C:\\data'），列表写在方括号中且只含"
            "一种类型（[512, 768]），数字写作 0.5 或 2e-5，true 与 false 用小写，[model] 或 [[directory]] 单独"
            "成行，注释写在 # 之后"
        ),
        examples=(
            "toml.decoder.TomlDecodeError: Reserved escape sequence used (line 5 column 1 char 87)",
            "toml.decoder.TomlDecodeError: Duplicate keys! (line 7 column 1 char 120)",
            "tomllib.TOMLDecodeError: Invalid value (at line 2, column 11)",
        ),
    ),
    KnownCause(
        "key_at_top",
        pattern=r"KeyError: '(resolutions|min_ar|max_ar|num_ar_buckets)'",
        remedy="set `{what}` at the top level of the dataset, too, even if each directory sets it",
        remedy_zh="在数据集的顶层也设置 `{what}`：无论目录里怎么写，都会到那里查找",
        examples=("KeyError: 'min_ar'",),
    ),
    KnownCause(
        "video_clip_mode",
        pattern=r"video_clip_mode",
        remedy="set video_clip_mode to 'single_beginning' or 'single_middle'",
        remedy_zh="请写 video_clip_mode = 'single_beginning' 或 'single_middle'",
        examples=("NotImplementedError: video_clip_mode=whole is not recognized",),
    ),
    KnownCause(
        "directory_tables",
        pattern=r"\[dataset\]$|KeyError: 'directory'",
        remedy="write [[directory]] with double brackets before each directory of the dataset",
        remedy_zh="请在数据集的每个目录前写双方括号 [[directory]]",
        examples=(
            '  File "/t/utils/dataset.py", line 9, in f\nTypeError: string indices must be integers',
            (
                '  File "/t/utils/dataset.py", line 9, in _set_defaults\n'
                "AttributeError: 'str' object has no attribute 'setdefault'"
            ),
            "KeyError: 'directory'",
        ),
    ),
    KnownCause(
        "eval_tables",
        pattern=r"string indices must be integers",
        remedy="write each entry of eval_datasets as a table: name = '…', config = 'x.toml'",
        remedy_zh="eval_datasets 的每一项都写成表：name = '…', config = 'x.toml'",
        examples=("TypeError: string indices must be integers, not 'str'",),
    ),
    KnownCause(
        "batch_sizes",
        pattern=r"[Mm]icro batch size per gpu|Gradient accumulation steps: |Check batch related|Train batch size: ",
        remedy="set micro_batch_size_per_gpu and gradient_accumulation_steps to whole numbers of at least 1",
        remedy_zh="请把 micro_batch_size_per_gpu 和 gradient_accumulation_steps 设为不小于 1 的整数",
        examples=(
            "AssertionError: Micro batch size per gpu: 0 has to be greater than 0",
            "AssertionError: Gradient accumulation steps: 0 has to be greater than 0",
            "AssertionError: Check batch related parameters.",
            "AssertionError: Train batch size: 0 has to be greater than 0",
        ),
    ),
    KnownCause(
        "missing_variable",
        pattern=r"KeyError: '([A-Z][A-Z0-9]*_[A-Z0-9_]{1,60})'",
        remedy="the environment of the trainer lacks the variable `{what}`: set it for the service",
        remedy_zh="训练器的环境缺少变量 `{what}`：请为服务设置它",
        examples=("KeyError: 'SLURM_NTASKS'",),
    ),
    KnownCause(
        "missing_setting",
        pattern=r"KeyError: .*\[setting: (.+)\]$",
        remedy="`{what}` is missing: add it to the configuration, or to the dataset, as in the trainer's example",
        remedy_zh="缺少 `{what}`：请按照训练器的示例加到配置或数据集中",
        examples=(
            "  File \"/t/train.py\", line 9, in <module>\n    x = config['model']['type']\nKeyError: 'type'",
            "  File \"/t/train.py\", line 9, in <module>\n    x = x = eval_dataset['name']\nKeyError: 'name'",
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/t/utils/dataset.py", line 9, in __init__\n'
                "    directory_config['path']\n"
                "KeyError: 'path'"
            ),
        ),
    ),
    KnownCause(
        "missing_key",
        pattern=r"KeyError: '([^']{1,80})'",
        remedy="the configuration lacks the key `{what}`: add it to the section that the traceback shows",
        remedy_zh="配置缺少键 `{what}`：请加到训练器查找它的位置",
        is_guess=True,
        unless_place=True,
        examples=(
            "KeyError: 'epochs'",
            "KeyError: 'output_dir'",
        ),
    ),
    KnownCause(
        "zero",
        pattern=r"ZeroDivisionError.*\[setting: (.+)\]$",
        remedy=(
            "the trainer divides by `{what}`, which is 0: set it to 1 or more; save_every_n_examples and "
            "eval_every_n_examples must not be below the global batch size"
        ),
        remedy_zh=(
            "训练器要除以 `{what}`，而它是 0：请设为 1 或更大；save_every_n_examples 与 eval_every_n_examples "
            "不能小于全局批大小"
        ),
        examples=(
            (
                '  File "/t/train.py", line 9, in <module>\n'
                "    x = n % config['save_every_n_steps']\n"
                "ZeroDivisionError: integer modulo by zero"
            ),
        ),
    ),
    KnownCause(
        "toml_parser",
        pattern=r"\[toml parser\]$|Not a homogeneous array",
        remedy=(
            "a TOML file cannot be parsed: check brackets, quotes and commas in its lists (of values of one "
            "type, such as [1.0, 2.5]) and tables; validate the request again, which names the line"
        ),
        remedy_zh=(
            "无法解析某个 TOML 文件：请检查其列表（其中的值应为同一类型，例如 [1.0, 2.5]）与表中的括号、引号和"
            "逗号；再次验证请求会指出所在的行"
        ),
        examples=(
            '  File "/v/toml/decoder.py", line 9, in load_array\nIndexError: list index out of range',
            "ValueError: Not a homogeneous array",
        ),
    ),
    KnownCause(
        "toml_date",
        pattern=r"Object of type (?:datetime|date|time) is not JSON",
        remedy="a value of the configuration is read as a date or a time, as it has no quotes: write it in quotes",
        remedy_zh="配置中的某个值没有引号，被读成了日期或时间：请给它加上引号",
        examples=("TypeError: Object of type datetime is not JSON serializable",),
    ),
)
