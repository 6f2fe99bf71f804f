"""Read the energy that a GPU has used, as NVIDIA's driver counts it; nothing is estimated."""

from importlib.util import find_spec
from typing import Any

import torch

from clinical_symile.registry.extras import DISTRIBUTION

_LIBRARY, _EXTRA = "pynvml", "energy"
_MILLIJOULES = 1e-3


class GpuEnergy:
    """The energy counter of the device of a training.

    The counter is that of the GPU: what other programs use on it counts too. Sources: NVIDIA,
    "NVML API Reference", `nvmlDeviceGetTotalEnergyConsumption`; package `nvidia-ml-py`.

    Args:
        device: the device.

    Attributes:
        missing: why there is no number; None if there is one.
    """

    def __init__(self, device: torch.device):
        self._library: Any = None
        self._gpu: Any = None
        self.missing: str | None = None
        if device.type != "cuda":
            self.missing = "the energy of processors is not read"
        elif find_spec(_LIBRARY) is None:
            self.missing = (
                f"nvidia-ml-py is not installed: `pip install '{DISTRIBUTION}[{_EXTRA}]'`"
            )
        else:
            self._open(device)

    def read(self) -> float | None:
        """Return the joules since the driver was loaded; None if they cannot be read."""
        if self._gpu is None:
            return None
        try:
            used = self._library.nvmlDeviceGetTotalEnergyConsumption(self._gpu)
        except self._library.NVMLError as error:
            self._refuse(error)
            return None
        return used * _MILLIJOULES

    def _open(self, device: torch.device) -> None:
        """Find the GPU by its number that CUDA_VISIBLE_DEVICES does not change."""
        import pynvml  # pyright: ignore[reportMissingImports]

        self._library = pynvml
        index = torch.cuda.current_device() if device.index is None else device.index
        name = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
        try:
            pynvml.nvmlInit()
            self._gpu = pynvml.nvmlDeviceGetHandleByUUID(name)
        except pynvml.NVMLError as error:
            self._refuse(error)
            return
        self.read()

    def _refuse(self, error: Exception) -> None:
        self._gpu = None
        self.missing = f"NVIDIA's driver does not give it ({error})"
