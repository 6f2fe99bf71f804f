import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task, task_digest
from clinical_symile.errors import DefinitionError


def test_symile_and_clip_differ_in_nothing_but_the_objective(catalog: Catalog):
    symile, clip = (
        read_task(catalog, f"pretraining/{name}").model_dump(
            exclude={"name", "description", "objective", "settings"}
        )
        for name in ("symile", "clip")
    )
    assert symile == clip


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "unknown key 'epoch'; did you mean 'epochs'"),
        ("optimizer.learning_rate=1", "unknown key 'optimizer'; did you mean 'optimiser'"),
        ("objective.negativs=all", "objective: unknown argument 'negativs'; did you mean"),
        ("objective.name=symil", "unknown objective 'symil'; did you mean 'symile'"),
        ("encoders.ecg.name=resnet2d", "encoders.ecg: unknown encoder 'resnet2d'"),
        ("encoders.ecg.speed=3", "encoders.ecg: unknown argument 'speed'"),
        ("missingness=only-ekg", "'ekg' is not among the modalities"),
        ("epochs=0", "epochs is 0; it should be greater than or equal to 1"),
        ("selection.targets=['cxt']", "unknown modality 'cxt'; did you mean 'cxr'"),
        ("selection.metric=median_rank", "unknown selection metric 'median_rank'"),
        ("modalities=['cxr', 'ecg']", "encoders and modalities differ by 'labs'"),
        ("epochs", "'epochs': expected field=value"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_to_do(catalog: Catalog, override: str, message: str):
    with pytest.raises(DefinitionError, match=message.replace("(", r"\(")):
        read_task(catalog, "pretraining/symile", overrides=[override])


def test_the_papers_towers_are_available_by_name(catalog: Catalog):
    task = read_task(catalog, "pretraining/paper/symile")
    assert isinstance(task, Pretraining)
    assert (task.dim, task.batch_size, task.norm) == (8192, 280, "layer_norm")
    assert [task.encoders[m].name for m in task.modalities] == [
        "resnet50",
        "resnet18_raster",
        "mlp",
    ]


def test_all_problems_of_a_task_are_told_at_once(catalog: Catalog):
    wrong = [
        'missing_modality="drip"',
        'selection.metric="median_rank"',
        "selection.targets=['cxt']",
    ]
    with pytest.raises(DefinitionError) as caught:
        read_task(catalog, "pretraining/symile", overrides=wrong)
    told = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 3
    for words in ("did you mean 'drop'", "median_rank", "did you mean 'cxr'"):
        assert words in told


@pytest.mark.parametrize(
    "field",
    ["batch_size=1", "encode_at_a_time=1", "dim=0", "optimiser.warmup_fraction=1"],
)
def test_a_number_outside_its_range_is_refused(catalog: Catalog, field: str):
    with pytest.raises(DefinitionError, match=field.partition("=")[0]):
        read_task(catalog, "pretraining/symile", overrides=[field])


def test_what_a_task_does_not_say_is_plain_training(catalog: Catalog):
    task = read_task(catalog, "pretraining/symile")
    assert isinstance(task, Pretraining)
    assert (task.pairs, task.augment, task.compile) == ("matched", {}, False)
    assert (task.encode_at_a_time, task.batch_statistics) == (None, "batch")


@pytest.mark.parametrize("pairs", ["paired", "paired-101", ""])
def test_other_pairs_are_refused_in_one_sentence(catalog: Catalog, pairs: str):
    with pytest.raises(
        DefinitionError, match=r"pairs is .*; expected matched, shuffled, or"
    ) as caught:
        read_task(catalog, "pretraining/symile", overrides=[f'pairs="{pairs}"'])
    assert len(caught.value.problems) == 1


def test_labels_are_read_by_the_objective_and_by_the_pattern_of_training(catalog: Catalog):
    changes = ['side.labels=["died"]', 'missingness="mnar-lung_mass-50"']
    task = read_task(catalog, "pretraining/objectives/supcon", overrides=changes)
    assert isinstance(task, Pretraining)
    assert task.labels_read(("died", "lung_mass")) == ["died", "lung_mass"]
    assert task.labels_read(("died",)) == ["died"]  # `lung_mass` is a column then


def test_a_digest_does_not_change_by_fields_that_say_what_was_so_before(catalog: Catalog):
    plain, said, other = (
        read_task(catalog, "pretraining/symile", overrides=each)
        for each in ([], ["batches=shuffled"], ["batches=one-site"])
    )
    assert task_digest(plain) == task_digest(said) != task_digest(other)
