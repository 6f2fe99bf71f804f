"""Files with which cohorts went wrong without a word: each case of ../shared/cases/files."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from clinical_symile.cli.init import init_cohort
from clinical_symile.config.catalog import open_catalog
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from tests.helpers.synthetic import quiet

TABLE_CASES = (1, 3, 5, 6, 7, 8, 10, 11, 23, 26)
RECORDING_CASES = (12, 13, 15, 17, 18, 20, 24)


@pytest.mark.slow
@pytest.mark.parametrize("number", [*TABLE_CASES, *RECORDING_CASES])
def test_a_file_is_read_right_or_its_fault_is_named(
    cases: ModuleType, number: int, tmp_path: Path
) -> None:
    (folder,) = cases.HERE.glob(f"{number:02d}_*")
    program = [sys.executable, "-m", "clinical_symile"]
    tried = cases.Tried(folder, program, "mimic_iv/all", tmp_path)
    right, observed = cases.JUDGES[number](tried)
    assert right, observed
    assert "Traceback" not in tried.said


@pytest.mark.slow
def test_the_advice_on_dates_works_to_the_letter(cases: ModuleType, tmp_path: Path) -> None:
    (folder,) = cases.HERE.glob("26_*")
    init_cohort("ours", at=tmp_path, like="tables")
    definition = tmp_path / "cohorts/ours/cohort.toml"

    def prepared() -> CohortStore:
        catalog = open_catalog([tmp_path])
        return prepare_cohort(
            catalog, "ours", source=folder / "raw", out=tmp_path / "store", bar=quiet
        )

    with pytest.raises(DataError) as caught:
        prepared()
    for problem in caught.value.problems:
        advice = re.search(r"Set (\w+) = (\S.*?\") in \[(types\.\w+)\]", problem)
        assert advice is not None
        column, kind, table = advice.groups()
        text = definition.read_text()
        before, after = text.split(f"[{table}]\n")
        after = re.sub(rf"^{column} = \S+", f"{column} = {kind}", after, count=1, flags=re.M)
        definition.write_text(f"{before}[{table}]\n{after}")
    store = prepared()
    assert store.samples["present_labs"].all()  # pyright: ignore[reportGeneralTypeIssues]
    assert (store.array("labs") > 0).all()
