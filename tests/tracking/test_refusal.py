from pathlib import Path

import pytest

from clinical_symile.errors import DataError
from clinical_symile.tracking.refusal import remove_if_refused


@pytest.mark.parametrize(("error", "left"), [(DataError, False), (KeyboardInterrupt, True)])
def test_a_refused_block_leaves_no_new_folder_and_every_earlier_one(
    error: type[BaseException], left: bool, tmp_path: Path
):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()

    def refused() -> None:
        with remove_if_refused(old, new, tmp_path / "never made"):
            for folder in (old, new / "deep"):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "file").write_text("half")
            raise error("refused")

    with pytest.raises(error):
        refused()
    assert new.exists() == left
    assert (old / "file").read_text() == "half"


def test_a_block_that_is_not_refused_keeps_its_folder(tmp_path: Path):
    with remove_if_refused(tmp_path / "new"):
        (tmp_path / "new").mkdir()
    assert (tmp_path / "new").is_dir()
