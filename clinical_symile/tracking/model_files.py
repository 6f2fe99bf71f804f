"""Describe the files of a model that MLflow logs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """A model in a folder, and the module that loads it.

    Attributes:
        folder: the folder.
        loader: name of a module with a function `_load_pyfunc(folder)`.
        digest: of the weights.
        inputs: the shape of each input of one sample; all are float32.
        outputs: the shape of each output of one sample; all are float32.
        requirements: the packages that the loader needs.
        register: name in the registry of models; None to register nothing.
    """

    folder: Path
    loader: str
    digest: str
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    requirements: tuple[str, ...]
    register: str | None = None
