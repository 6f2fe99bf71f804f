"""What primary comparisons found, in sentences."""

from clinical_symile.reporting.text.answers import Decision
from clinical_symile.reporting.text.primary import primary_sentences
from tests.helpers.report_data import FIRST, OUTCOME, TASKS

PAIRS = [("Symile", "CLIP"), ("Symile", "dropout"), ("CLIP", "dropout")]


def _decided(pair: tuple[str, str], better: str, strength: float, pattern: str = "without-ecg"):
    words = f"by {strength} points" if better else ""
    return Decision(FIRST, pattern, pair, better, words, strength)


def test_the_clearest_difference_is_named_and_the_others_counted():
    decisions = [
        _decided(PAIRS[0], "CLIP", 1.5),
        _decided(PAIRS[1], "dropout", 2.5),
        _decided(PAIRS[2], "", 0.0),
        _decided(PAIRS[2], "CLIP", 9.0, pattern="complete"),  # is not primary
    ]
    (sentence,) = primary_sentences([f"{FIRST}:without-ecg"], decisions, tasks=TASKS)
    assert sentence.startswith("Set beforehand as primary: ")
    assert sentence.endswith(
        "without ECG: dropout is better than Symile by 2.5 points; 2 of 3 pairs of methods differ."
    )


def test_nothing_significant_is_said_to_be_so():
    several = [_decided(pair, "", 0.0) for pair in PAIRS]
    (sentence,) = primary_sentences([f"{FIRST}:without-ecg"], several, tasks=TASKS)
    assert sentence.endswith(": none of 3 pairs of methods differs significantly.")
    (sentence,) = primary_sentences([f"{FIRST}:without-ecg"], several[:1], tasks=TASKS)
    assert sentence.endswith(": Symile and CLIP do not differ significantly.")


def test_each_primary_comparison_has_a_sentence_and_others_none():
    decisions = [_decided(PAIRS[0], "CLIP", 1.5), _decided(PAIRS[0], "Symile", 3.0, "complete")]
    names = [f"{FIRST}:complete", f"{OUTCOME}:complete", f"{FIRST}:without-ecg"]
    assert len(primary_sentences(names, decisions, tasks=TASKS)) == 2
    assert primary_sentences([], decisions, tasks=TASKS) == []
