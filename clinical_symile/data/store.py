"""`CohortStore`: a prepared cohort, kept in a folder.

manifest.json       cohort, digests, shapes, units, training statistics, counts
samples.parquet     sample, subject, split, present_<modality>, outcome_<name>, group_<name>,
                    kept_<column>; an outcome is 1, 0, 0.5 where uncertain, or empty where unknown
candidates.parquet  query, candidate, split, as rows, if the cohort publishes lists
rejected.parquet    sample, modality, file, reason, detail of every unusable recording
noted.parquet       sample, modality, note on a usable recording that was changed or is unusual
recordings.parquet  sample, modality, file, bytes and SHA-256 of every recording that was stored
files.parquet       the file of each sample's measurement, by modality
<modality>.npy      measurements, aligned with the samples, zero where not present
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from clinical_symile.config.splits import SPLITS
from clinical_symile.data.noise import Noise
from clinical_symile.data.store_manifest import check_small_files, read_manifest
from clinical_symile.data.withheld import Withheld
from clinical_symile.errors import DataError
from clinical_symile.formatting import format_count, html_table
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import MODALITIES
from clinical_symile.registry.names import path_in
from clinical_symile.tracking.checksums import CHECKSUMS_FILE, check_folder, warn_unchecked
from clinical_symile.tracking.records import UNREADABLE_ARRAY, read_parquet

_PREPARE_AGAIN = "Remove the store and prepare again."
# The value of an uncertain label in a store, and the values that it may be read as.
UNCERTAIN = 0.5
UNCERTAIN_IS = {"unknown": np.nan, "positive": 1.0, "negative": 0.0}


@runtime_checkable
class InputSource(Protocol):
    """The part of a store that a learner is built from: the names and inputs of modalities.

    Attributes:
        cohort: the cohort's name.
        modalities: the modalities.
    """

    @property
    def cohort(self) -> str: ...  # noqa: D102

    @property
    def modalities(self) -> tuple[str, ...]: ...  # noqa: D102

    def inputs(self, modality: str, rows: Int[np.ndarray, " row"]) -> Float[np.ndarray, "row ..."]:
        """Return the inputs of an encoder for some samples; see `CohortStore.inputs`."""
        ...

    def unmeasured(self, modality: str) -> Float[np.ndarray, "..."] | None:
        """Return the input without any measured part; see `CohortStore.unmeasured`."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class CohortStore:
    """A prepared cohort.

    Attributes:
        path: the folder.
        manifest: the content of manifest.json.
        samples: one row per sample; the row number is the sample's index in every array.
        modalities: the modalities, in the cohort's order.
        present: True where the store has a usable measurement of a modality.
        candidates: query, candidate (rows) and split of published lists; None if there are none.
        withheld: for some modalities, the parts of measurements that encoders may not read.
        converted: for some modalities, measurements that replace those on disk, such as labs in
            the panel of another cohort.
        noise: for some modalities, the noise that encoders read on top of the measurements.
    """

    path: Path
    manifest: Mapping[str, Any]
    samples: pd.DataFrame
    modalities: tuple[str, ...]
    present: Bool[np.ndarray, "sample modality"]
    candidates: pd.DataFrame | None
    withheld: Mapping[str, Withheld] = field(default_factory=dict)
    converted: Mapping[str, np.ndarray] = field(default_factory=dict)
    noise: Mapping[str, Noise] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"CohortStore({str(self.path)!r}, {', '.join(self.modalities)})"

    def _repr_html_(self) -> str:
        """Return the counts of each split for a notebook; small counts are withheld."""
        head = ["split", "samples", "subjects", *(f"with {name}" for name in self.modalities)]
        rows = [
            [split, *map(format_count, (counts["samples"], counts["subjects"]))]
            + [format_count(counts["present"][name]) for name in self.modalities]
            for split, counts in self.manifest["counts"].items()
        ]
        return html_table(f"{self.cohort}, store {self.digest}", head, rows)

    @property
    def cohort(self) -> str:
        """The cohort's name."""
        return self.manifest["cohort"]

    @property
    def digest(self) -> str:
        """The digest of the content."""
        return self.manifest["digest"]

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The cohort's outcomes."""
        columns = self.samples.columns
        return tuple(c.removeprefix("outcome_") for c in columns if c.startswith("outcome_"))

    @property
    def subgroups(self) -> tuple[str, ...]:
        """The cohort's subgroup columns."""
        columns = self.samples.columns
        return tuple(c.removeprefix("group_") for c in columns if c.startswith("group_"))

    def rows(self, split: str) -> Int[np.ndarray, " sample"]:
        """Return the rows of one split."""
        if split not in SPLITS:
            raise ValueError(f"split is '{split}'; expected one of {', '.join(SPLITS)}")
        return np.flatnonzero((self.samples["split"] == split).to_numpy())

    def complete_rows(self, split: str, modalities: Sequence[str]) -> Int[np.ndarray, " sample"]:
        """Return the rows of a split in which all of some modalities are present."""
        rows = self.rows(split)
        columns = [self.modalities.index(name) for name in modalities]
        return rows[self.present[rows][:, columns].all(axis=1)]

    def array(self, modality: str) -> np.ndarray:
        """Return the stored measurements of a modality, one per sample, mapped from disk."""
        if modality in self.converted:
            return self.converted[modality]
        file = array_path(self.path, modality)
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except UNREADABLE_ARRAY as error:
            raise DataError(
                f"{file}: cannot be read as an array ({type(error).__name__}). {_PREPARE_AGAIN}",
                code="CS-D017",
            ) from None
        shape = self.manifest["modalities"][modality].get("shape", array.shape[1:])
        expected = (len(self.samples), *shape)
        if array.shape != expected:
            raise DataError(
                f"{file}: has the shape {array.shape}; expected {expected}. {_PREPARE_AGAIN}",
                code="CS-D017",
            )
        return array

    def inputs(self, modality: str, rows: Int[np.ndarray, " row"]) -> Float[np.ndarray, "row ..."]:
        """Return the inputs of an encoder for some samples: zero where the modality is missing."""
        present = self.present[rows, self.modalities.index(modality)]
        stored, divisor = self.array(modality), self.divisor(modality)
        if divisor is None:
            values = stored[rows[present]]
            if modality in self.noise:
                kind = np.result_type(values.dtype, self.unrecorded(modality))
                values = self.noise[modality].added_to(values.astype(kind), rows[present])
            if modality in self.withheld:
                hidden = self.withheld[modality].of(rows[present], values.shape[1:])
                values = np.where(hidden, self.unrecorded(modality), values)
            values = self._adapter(modality).transform(values, self._statistics(modality))
            inputs = np.zeros((len(rows), *values.shape[1:]), dtype=np.float32)
            inputs[present] = values
            return inputs
        # Directly from the memory map: each number is read, divided and written once.
        inputs = np.zeros((len(rows), *stored.shape[1:]), dtype=np.float32)
        for index in np.flatnonzero(present):
            np.divide(stored[rows[index]], divisor, out=inputs[index], dtype=np.float32)
        return inputs

    def group(self, name: str) -> Shaped[np.ndarray, " sample"]:
        """Return the group of each sample in words, None where it is unknown."""
        values = self.samples[f"group_{name}"].to_numpy(dtype=object)
        return np.array([value if isinstance(value, str) else None for value in values], object)

    def divisor(self, modality: str) -> Float[np.ndarray, "..."] | None:
        """Return the divisor that makes inputs of stored values; None if more is needed.

        More is needed where parts of measurements are withheld, or noise is added: a loader that
        holds stored values would give them to encoders as they are.
        """
        adapter = self._adapter(modality)
        is_changed = modality in self.withheld or modality in self.noise
        if is_changed or not hasattr(adapter, "divisor"):
            return None
        return np.asarray(adapter.divisor(self._statistics(modality)), dtype=np.float32)

    def unmeasured(self, modality: str) -> Float[np.ndarray, "..."] | None:
        """Return an encoder's input without any measured part; None if parts cannot be missing."""
        adapter = self._adapter(modality)
        if not hasattr(adapter, "unmeasured"):
            return None
        return np.asarray(adapter.unmeasured(self._statistics(modality)), dtype=np.float32)

    def axes(self, modality: str) -> tuple[str, ...]:
        """Return the names of the axes of a stored measurement; empty if its adapter has none."""
        return getattr(self._adapter(modality), "axes", ())

    def unrecorded(self, modality: str) -> float | int | np.generic:
        """Return the stored number where nothing was recorded; NaN if its adapter has none."""
        return getattr(self._adapter(modality), "unrecorded", np.float32(np.nan))

    def noise_scale(self, modality: str) -> Float[np.ndarray, "..."] | None:
        """Return what noise of 100 % stands for, in stored units; None if its adapter has none."""
        adapter = self._adapter(modality)
        if not hasattr(adapter, "noise_scale"):
            return None
        return np.asarray(adapter.noise_scale(self._statistics(modality)), dtype=np.float64)

    def sampling_rate_hz(self, modality: str) -> int | float:
        """Return the sampling rate of a modality with an axis `time`."""
        return self._adapter(modality).sampling_rate_hz

    def _adapter(self, modality: str) -> Any:
        about = self.manifest["modalities"][modality]
        return resolve(about["adapter"], MODALITIES)

    def _statistics(self, modality: str) -> dict[str, Any]:
        return self.manifest["modalities"][modality]["statistics"]

    def outcome(self, name: str, *, uncertain: str = "unknown") -> Float[np.ndarray, " sample"]:
        """Return 1 where an outcome is positive, 0 where negative, NaN where unknown.

        Args:
            name: the outcome.
            uncertain: how to read a label that is uncertain: `unknown`, `positive` or `negative`.

        Raises:
            DataError: the cohort does not have the outcome.
        """
        column = f"outcome_{name}"
        if column not in self.samples:
            raise DataError(
                f"{self.path}: cohort '{self.cohort}' has no outcome '{name}'; it has "
                f"{', '.join(self.outcomes) or 'none'}. Add it to the cohort's file and prepare "
                "again.",
                code="CS-D018",
            )
        label = self.samples[column].to_numpy(dtype=np.float64)
        return np.where(label == UNCERTAIN, UNCERTAIN_IS[uncertain], label)


def open_store(path: str | Path | CohortStore) -> CohortStore:
    """Open a prepared cohort.

    Args:
        path: the folder that `prepare` wrote; a store is returned as it is.

    Returns:
        The store. Its arrays stay on disk until they are used.

    Raises:
        DataError: the folder is not a store, or its files are missing or were changed.

    Examples:
        >>> cs.open_store("store").cohort
        'synthetic'
    """
    if isinstance(path, CohortStore):
        return path
    path = Path(path)
    if (path / CHECKSUMS_FILE).is_file():
        check_folder(path, missing=True)
    manifest = read_manifest(path)
    if not (path / CHECKSUMS_FILE).is_file():  # as versions before 0.2.2 wrote it
        check_small_files(path, manifest)
    warn_unchecked(path)
    samples = _read_samples(path, manifest)
    lists = path / "candidates.parquet"
    modalities = tuple(manifest["modalities"])
    return CohortStore(
        path=path,
        manifest=manifest,
        samples=samples,
        modalities=modalities,
        present=samples[[f"present_{name}" for name in modalities]].to_numpy(dtype=bool),
        candidates=read_parquet(lists, action=_PREPARE_AGAIN, code="CS-D017")
        if lists.name in manifest["sizes"]
        else None,
    )


def _read_samples(path: Path, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Read the table of samples.

    Raises:
        DataError: it is damaged, or does not fit the manifest.
    """
    file = path / "samples.parquet"
    samples = read_parquet(file, action=_PREPARE_AGAIN, code="CS-D017")
    expected = ["sample", "subject", "split"]
    expected += [f"present_{name}" for name in manifest["modalities"]]
    expected += [f"outcome_{name}" for name in manifest["outcomes"]]
    lacking = [name for name in expected if name not in samples.columns]
    counted = sum(counts["samples"] for counts in manifest["counts"].values())
    problems = [f"has no columns {', '.join(lacking)}"] if lacking else []
    problems += [f"has {len(samples)} samples; expected {counted}"] * (len(samples) != counted)
    if problems:
        raise DataError(f"{file}: {'; '.join(problems)}. {_PREPARE_AGAIN}", code="CS-D017")
    return samples


def array_path(folder: Path, modality: str) -> Path:
    """Return the file of the measurements of a modality in the folder of a store."""
    return path_in(folder, modality, suffix=".npy")
