import pytest

from clinical_symile.models.encoders.tabular import Mlp


@pytest.mark.parametrize("hidden", [[0], [16, -1]])
def test_layers_that_carry_nothing_are_refused(hidden: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^hidden is .*; expected a list of whole numbers of 1"):
        Mlp((2, 7), 8, hidden=hidden)
