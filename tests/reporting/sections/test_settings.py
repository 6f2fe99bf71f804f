from clinical_symile.reporting.sections.settings import draw_settings
from clinical_symile.tracking.benchmark_tables import TriedSetting

ROW = TriedSetting(
    task="pretraining/clip",
    setting=1,
    changes={},
    seed=0,
    metric="mean_reciprocal_rank",
    value=0.25,
    epoch=2,
    epochs=8,
    is_best=False,
)
OTHER = TriedSetting(
    **{
        **vars(ROW),
        "setting": 2,
        "changes": {"objective.temperature": 0.03, "epochs": 4},
        "value": 0.5,
        "is_best": True,
    }
)


def test_each_setting_stands_with_its_tuning_value_and_the_chosen_one_is_marked() -> None:
    content = draw_settings(settings=[ROW, OTHER], methods_by_task={})
    assert content is not None
    (panel,) = content.panels
    assert [row[1:] for row in panel.body] == [
        ["as defined", "mean reciprocal rank", "0.250", "2 of 8", ""],
        [
            "objective.temperature = 0.03, epochs = 4",
            "mean reciprocal rank",
            "0.500",
            "2 of 8",
            "yes",
        ],
    ]
    assert "with seed 0" in content.text


def test_without_tuning_there_is_no_section() -> None:
    assert draw_settings(settings=[], methods_by_task={}) is None
