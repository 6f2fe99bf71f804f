from typing import Any

import pytest

from clinical_symile.models.encoders._validation import require_counts, require_lists


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3", [3], None])
def test_what_is_no_whole_number_of_one_or_more_is_refused(value: Any) -> None:
    require_counts(width=1, blocks=2)
    with pytest.raises(ValueError, match=r"^width is .*; expected a whole number of 1 or more\.$"):
        require_counts(width=value, blocks=2)


@pytest.mark.parametrize("value", [3, "3", [0], [2, 1.5], [[3]], {3: 3}])
def test_what_is_no_list_of_such_is_refused(value: Any) -> None:
    require_lists(hidden=[1, 2], channels=(), more=())
    with pytest.raises(ValueError, match=r"^hidden is .*; expected a list of whole numbers of 1"):
        require_lists(hidden=value, channels=[4])
