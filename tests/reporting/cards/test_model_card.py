"""A model card is filled from records alone, and has every part that its form asks for."""

from dataclasses import replace
from pathlib import Path

from clinical_symile.reporting.cards.model_card import (
    card_metadata,
    model_card,
    write_model_cards,
)
from clinical_symile.reporting.cards.model_facts import find_methods
from tests.helpers.card_records import card_data, full_cohort, in_groups
from tests.helpers.report_data import FIRST

DATA = in_groups(card_data())
SYMILE = find_methods(DATA)[0]


def test_the_parts_are_those_of_the_form():
    card = model_card(SYMILE, DATA)
    assert card.title == "Model card: Symile"
    assert card.about.startswith("Trained and evaluated on cohort synthetic.")
    assert [part.heading for part in card.parts] == [
        "The model",
        "Intended use",
        "Out of scope",
        "Training data",
        "Training",
        "Performance on held-out samples",
        "Behaviour with missing modalities",
        "Groups of patients",
        "Calibration",
        "Compared with baselines and other methods",
        "Caveats",
        "Not recorded",
    ]
    assert "not a medical device" in " ".join(card.parts[2].items)
    assert card.facts[1] == ("Caveat", card.parts[10].items[0])


def test_the_first_screen_says_what_it_is_and_how_it_does():
    card = model_card(SYMILE, DATA)
    said = [one.replace("\N{NO-BREAK SPACE}", " ") for one in card.answers]
    assert said[0].startswith("Embeds chest X-ray, ECG and labs; trained with the objective Symile")
    assert said[1] == (
        "Find the chest X-ray from ECG and labs, nothing missing: recall@1 71 % (68 to 74 %); "
        "chance is 10 %."
    )
    assert card.figure is not None
    assert card.figure.picture is not None


def test_what_is_not_in_the_records_is_left_out():
    bare = replace(
        card_data(), cohort={}, comparisons=(), losses=(), analysis=type(DATA.analysis)()
    )
    card = model_card(find_methods(bare)[0], bare)
    headings = [part.heading for part in card.parts]
    assert "Calibration" not in headings
    assert "Groups of patients" not in headings
    assert card.facts[0] == ("Subjects", "not recorded")


def test_an_external_evaluation_is_no_training_data():
    results = [replace(row, cohort="other") for row in DATA.results]
    data = replace(DATA, results=results, cohort=full_cohort(cohort="other"))
    card = model_card(find_methods(data)[0], data)
    assert card.about.startswith("Training cohort: synthetic. Evaluated on cohort other.")
    assert "Evaluation data" in [part.heading for part in card.parts]


def test_the_header_has_the_results_in_the_form_of_a_model_index():
    header = card_metadata(SYMILE, DATA)
    assert header["library_name"] == "clinical-symile"
    (entry,) = header["model-index"]
    first = entry["results"][0]
    assert first["dataset"] == {"type": "synthetic", "name": "synthetic", "split": "held_out"}
    assert first["metrics"][0]["type"] == "recall_at_1"
    assert first["metrics"][0]["value"] == 0.71
    assert "license" not in header


def test_each_method_of_a_benchmark_has_a_card_of_its_own(tmp_path: Path):
    written = write_model_cards(DATA, out=tmp_path)
    assert [path.name for path in written] == ["symile.html", "symile.md", "clip.html", "clip.md"]
    text = (tmp_path / "clip.md").read_text(encoding="utf-8")
    assert "# Model card: CLIP" in text
    assert f"{FIRST}" not in text


def test_small_counts_are_in_no_card(tmp_path: Path):
    write_model_cards(DATA, out=tmp_path)
    text = (tmp_path / "symile.md").read_text(encoding="utf-8")
    # The cohort left out 3 rows without a modality, and 41 in no split.
    assert "no modality &lt;10, no split 41" in text
    assert "at least 4" in text  # the rows are a bound, so that 3 does not follow
