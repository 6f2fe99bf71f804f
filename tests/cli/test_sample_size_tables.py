import io

from rich.console import Console

from clinical_symile.cli.sample_size_tables import sample_size_tables
from clinical_symile.evaluation.sample_size import sample_sizes
from tests.evaluation.test_sample_size import compared


def printed(*, difference: float | None = None, margin: float | None = None) -> str:
    rows = [
        compared(),
        compared(missingness="mcar-30", n_subjects=9),
        compared(task="classification/y", metric="auroc", against="complete"),
    ]
    out = io.StringIO()
    console = Console(file=out, width=160)
    sizes = sample_sizes(rows, difference=difference, margin=margin)
    for part in sample_size_tables(sizes, difference=difference, margin=margin, power=0.8):
        console.print(part)
    return out.getvalue()


def test_each_task_has_a_table_and_each_claim_a_column():
    shown = printed(difference=0.02, margin=0.04)
    for words in ("differs by 0.02", "loss below 0.04", "within 0.04 either way"):
        assert shown.count(words) == 2
    assert "symile-0, minus complete" in shown
    assert "\N{EN DASH}: fewer than 10 subjects" in shown
    assert "no difference in truth" in shown
    assert "loss below" not in printed(difference=0.02)
    assert "no difference in truth" not in printed(difference=0.02)


def test_a_number_too_small_for_the_normal_distribution_is_a_bound():
    shown = printed(difference=0.4)
    assert "<30" in shown
    assert "does not hold for so few subjects" in shown.replace("\n", " ")
    assert "<30" not in printed(difference=0.02)
