"""Preparing a cohort of the catalog by its name."""

import pytest

from clinical_symile.data.prepare_cohort import count_cohort
from clinical_symile.errors import DefinitionError
from clinical_symile.synthetic import generate as synthetic
from tests.helpers.synthetic import quiet


def test_nothing_half_written_is_left(catalog, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("disk full")

    few = {"source": tmp_path / "source", "generate": ["subjects=4"], "bar": quiet}
    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "write_tables", fail)
        with pytest.raises(RuntimeError, match="disk full"):
            count_cohort(catalog, "synthetic", **few)
    assert {path.name for path in tmp_path.iterdir()} <= {".source.lock"}
    count_cohort(catalog, "synthetic", **few)
    assert {path.name for path in tmp_path.iterdir()} == {"source", ".source.lock"}


@pytest.mark.parametrize(
    ("generate", "said"),
    [
        ("seed=-1", "generator: seed is -1; expected a whole number from 0"),
        ("subjects=0", "generator: subjects is 0; expected 1 to"),
        ("subjects=2.5", "--generate subjects=2.5: subjects is 2.5; expected a whole number, such"),
        ("redundant=true", "redundant is True; expected a whole number, such as 1"),
        ("flip=often", "flip is 'often'; expected a number, such as 0.05"),
    ],
)
def test_a_parameter_that_is_refused_leaves_nothing(catalog, tmp_path, generate, said):
    with pytest.raises(DefinitionError, match=said):
        count_cohort(
            catalog, "synthetic", source=tmp_path / "source", generate=[generate], bar=quiet
        )
    assert {path.name for path in tmp_path.iterdir()} <= {".source.lock"}
