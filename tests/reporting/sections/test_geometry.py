from clinical_symile.reporting.result_lookup import method_series
from clinical_symile.reporting.sections.geometry import draw_geometry

SERIES = method_series([], ["clip-0"])


def _epoch(seconds: float, **health: float) -> dict[str, float]:
    return {"epoch": 1, "seconds": seconds, **{f"health/{k}": v for k, v in health.items()}}


def test_the_time_is_the_median_and_the_geometry_that_of_the_last_epoch() -> None:
    last = {
        "health/modality_gap/cxr-ecg": 1.0,
        "health/modality_gap/cxr-labs": 0.5,
        "health/uniformity/cxr": -2.0,
        "health/effective_rank/cxr": 12.0,
        "health/effective_rank/ecg": 8.0,
    }
    epochs = [_epoch(9.0), _epoch(2.0), {**_epoch(3.04), **last}]
    content = draw_geometry(histories={"clip-0": epochs}, series=SERIES)
    assert content is not None
    (row,) = content.panels[0].body
    assert row[1:] == ["3", "3.0 s", "0.75", "-2.00", "10.00"]


def test_a_long_epoch_is_given_in_minutes_and_what_is_not_known_as_a_dash() -> None:
    content = draw_geometry(histories={"clip-0": [_epoch(90.0)]}, series=SERIES)
    assert content is not None
    assert content.panels[0].body[0][1:] == ["1", "1 min 30 s", *["\N{EN DASH}"] * 3]


def test_without_a_trained_run_there_is_no_section() -> None:
    assert draw_geometry(histories={}, series=SERIES) is None
