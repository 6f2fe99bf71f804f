import pytest

from clinical_symile.reporting.result_lookup import ResultTable, Series
from clinical_symile.reporting.text.findings import retained_sentences
from tests.helpers.one_risk_task import RESULT, TASKS, falling_scores

SERIES = [
    Series("a-0", "masked cube", "masked cube", 0, 0),
    Series("b-0", "learned", "learned", 1, 0),
]


@pytest.fixture
def scores() -> ResultTable:
    return falling_scores()


def test_what_is_lost_is_told_in_a_sentence_from_the_numbers(scores):
    assert retained_sentences(scores, tasks=TASKS, series=SERIES) == [
        "Predict died from chest X-ray and ECG: with nothing missing, AUROC is from 0.70 (learned) "
        "to 0.80 (masked cube); the oracle reaches 0.80; where 50 % of each modality is missing at "
        "random, from 0.55 (learned) to 0.65 (masked cube); the oracle reaches 0.65."
    ]
    assert retained_sentences(ResultTable([RESULT]), tasks=TASKS, series=SERIES) == []
