"""The catalog of known causes.

The first one that matches applies: in the order of the modules below, and within a module in its own order. A cause
that is more special than another one therefore stands before it. The examples of both show whether it does.
"""

from collections.abc import Iterator

from api.trainers.failures.causes import (
    adapters,
    attention,
    cache,
    capabilities,
    checkpoints,
    compilation,
    data_types,
    dataset,
    distributed,
    fallbacks,
    files,
    gpus,
    installation,
    libraries,
    limits,
    media,
    memory,
    models,
    network,
    optimizers,
    packages,
    settings,
    starting,
    weights,
)

CAUSES = (
    *gpus.CAUSES,
    *distributed.CAUSES,
    *attention.CAUSES,
    *memory.CAUSES,
    *installation.CAUSES,
    *packages.CAUSES,
    *libraries.CAUSES,
    *capabilities.CAUSES,
    *limits.CAUSES,
    *compilation.CAUSES,
    *network.CAUSES,
    *data_types.CAUSES,
    *checkpoints.CAUSES,
    *adapters.CAUSES,
    *optimizers.CAUSES,
    *dataset.CAUSES,
    *media.CAUSES,
    *cache.CAUSES,
    *weights.CAUSES,
    *models.CAUSES,
    *files.CAUSES,
    *settings.CAUSES,
    *starting.CAUSES,
    *fallbacks.CAUSES,
)

#: Causes with a code of their own. Any of them, in any error, comes before the trainer's errors.
ORIGINS = tuple(each for each in CAUSES if each.cause is not None and not each.is_consequence)

#: Causes that count only if no other error was printed.
CONSEQUENCES = tuple(each for each in CAUSES if each.is_consequence)

#: Remedies for errors that are the trainer's own.
TRAINER_ERRORS = tuple(each for each in CAUSES if each.cause is None)


def chinese_texts() -> Iterator[tuple[str, str]]:
    """Yield the code and the Chinese text of each detail and remedy."""
    for each in CAUSES:
        if each.detail_zh is not None:
            yield each.detail_code, f"{each.detail_zh}：{{line}}"
        yield each.remedy_code, each.remedy_zh
