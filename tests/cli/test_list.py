"""`clinical-symile list`."""

from collections.abc import Callable

from tests.helpers.hospital import Hospital


def test_list_shows_one_kind(run: Callable[..., tuple[int, str, str]]):
    status, shown, _ = run("list", "cohorts")
    assert status == 0
    assert shown.split()[:1] == ["cohorts"]
    assert "  synthetic " in shown


def test_a_catalog_may_stand_before_and_after_the_verb(
    run: Callable[..., tuple[int, str, str]], hospital: Hospital
):
    catalog = hospital.definition.parents[2]
    for words in (["--catalog", catalog, "list"], ["list", "--catalog", catalog]):
        assert "small" in run(*words, "cohorts")[1]
