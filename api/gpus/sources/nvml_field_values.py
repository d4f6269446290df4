"""NVML's numbered field values, which have no functions of their own and are read together in one call."""

from typing import Any

import pynvml

_FIELDS = (
    pynvml.NVML_FI_DEV_MEMORY_TEMP,  # there is no second temperature sensor
    pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION,
    pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES,
    pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES,
)
_WIDE_TYPES = (pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG, pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG)


class FieldValues:
    """The answers for one GPU. If the whole call fails, each field fails with its code."""

    def __init__(self, handle: Any) -> None:
        self._values: dict[int, Any] = {}
        self._error: pynvml.NVMLError | None = None
        try:
            answers = pynvml.nvmlDeviceGetFieldValues(handle, list(_FIELDS))
            self._values = {int(value.fieldId): value for value in answers}
        except pynvml.NVMLError as error:
            self._error = error

    def get(self, field: int) -> int:
        """Return one value.

        Raises NVMLError.
        """
        if self._error is not None:
            raise self._error
        value = self._values[field]
        if value.nvmlReturn != pynvml.NVML_SUCCESS:
            raise pynvml.NVMLError(value.nvmlReturn)
        return int(value.value.ullVal if value.valueType in _WIDE_TYPES else value.value.uiVal)
