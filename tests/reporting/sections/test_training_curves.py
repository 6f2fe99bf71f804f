from clinical_symile.reporting.sections.training_curves import draw_training
from tests.helpers.figures import svg_of
from tests.helpers.report_data import made_data, made_history


def test_loss_and_tuning_metrics_have_a_panel_each():
    data = made_data()
    content = draw_training(
        histories=data.histories,
        series=data.series,
        methods=data.methods,
        baselines={},
        oracle=None,
    )
    assert content is not None
    assert [panel.title for panel in content.panels] == [
        "Training loss",
        "Recall@1 on tuning samples",
    ]
    assert content.panels[0].body[0] == ["Symile", "12", "5.000", "1.333"]
    assert ">epoch<" in svg_of(content.panels[0])


def test_the_true_total_correlation_is_a_line_where_it_is_known():
    data = made_data()
    histories = {"symile-0": [{**line, "tuning/tc_estimate": 0.4} for line in made_history()]}
    content = draw_training(
        histories=histories,
        series=data.series,
        methods=data.methods,
        baselines={},
        oracle={"total_correlation_nats": 1.2345},
    )
    assert content is not None
    assert content.panels[-1].title.endswith("true value, 1.23 nats")


def test_factors_of_a_balance_say_which_modality_was_held_back():
    data = made_data()
    kept = {"balance/factor_cxr": 0.7}
    histories = {"symile-0": [{**line, **kept} for line in made_history()]}
    content = draw_training(
        histories=histories,
        series=data.series,
        methods=data.methods,
        baselines={},
        oracle=None,
    )
    assert content is not None
    assert content.panels[-1].title == "Gradient factor of the encoder of cxr"
    assert content.panels[-1].body[0][-1] == "0.700"
    assert "below 1 the balance held the encoder back" in str(content.caption)


def test_without_histories_there_is_no_section():
    found = draw_training(histories={}, series=[], methods=[], baselines={}, oracle=None)
    assert found is None
