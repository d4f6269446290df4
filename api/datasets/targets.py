"""The dataset that a request writes its result into."""

from api.datasets.service import DatasetService
from api.domain.access import Permission, Principal
from api.domain.dataset import Dataset
from api.errors import DatasetExists, DatasetIsRegistered, DatasetNotFound, HiddenDataset, NotYours


def find_writable(datasets: DatasetService, name: str, asks: Principal) -> Dataset | None:
    """Return the dataset with this name, or None where the request makes it.

    Raises DatasetIsRegistered, NotYours, and DatasetExists for a dataset that the caller may not see.
    """
    try:
        target = datasets.find(name)
    except HiddenDataset:
        raise DatasetExists(f'A dataset is called "{name}" already.', data={"name": name}) from None
    except DatasetNotFound:
        return None
    if target.directory is not None:
        raise DatasetIsRegistered(
            f"{name} is the directory {target.directory} on the server, which is only read: name another dataset "
            'with "into".',
            data={"directory": target.directory},
        )
    if target.owner != asks.owner and not asks.may(Permission.TASKS_WRITE_ANY):
        raise NotYours(f'{name} belongs to somebody else: name one of your own datasets with "into".')
    return target
