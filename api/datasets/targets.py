"""Find the dataset that receives the result of a request."""

from api.datasets.service import DatasetService
from api.domain.access.principal import Permission, Principal
from api.domain.datasets.dataset import Dataset
from api.errors import DatasetExists, DatasetIsRegistered, DatasetNotFound, HiddenDataset, NotYours


def find_writable(datasets: DatasetService, name: str, principal: Principal) -> Dataset | None:
    """Return the dataset with this name, or None if the request creates it.

    Raises DatasetIsRegistered, NotYours, and DatasetExists for a dataset that the caller may not see.
    """
    try:
        target = datasets.find(name)
    except HiddenDataset:
        raise DatasetExists(f'A dataset with the name "{name}" exists already.', data={"name": name}) from None
    except DatasetNotFound:
        return None
    if target.directory is not None:
        raise DatasetIsRegistered(
            f"{name} is the directory {target.directory} on the server, which is only read: choose another dataset "
            'with "into".',
            data={"directory": target.directory},
        )
    if target.owner != principal.owner and not principal.may(Permission.TASKS_WRITE_ANY):
        raise NotYours(f'{name} belongs to another user: choose one of your own datasets with "into".')
    return target
