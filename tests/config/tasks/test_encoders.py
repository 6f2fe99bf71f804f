"""The fields that every encoder's table has: what is trained, and where weights come from."""

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.encoders import EncoderConfig, encoder_problems, encoder_source
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import portable_fields, read_task, task_digest
from clinical_symile.errors import DefinitionError

PINS = {"sha256": "0" * 64, "licence": "MIT", "training_data": ["CheXpert"]}


def task(catalog: Catalog, *overrides: str) -> Pretraining:
    made = read_task(catalog, "pretraining/symile", overrides=overrides)
    assert isinstance(made, Pretraining)
    return made


def problems(**fields) -> list[str]:
    return [str(p) for p in encoder_problems(EncoderConfig(**fields), where="encoders.cxr")]


def test_fields_that_are_not_said_change_neither_the_table_nor_a_digest(catalog: Catalog):
    encoder = task(catalog).encoders["cxr"]
    assert encoder.model_dump() == {"name": "small_cnn", "size_px": 64}
    assert encoder.arguments == {"size_px": 64}
    frozen = task(catalog, "encoders.cxr.frozen=true")
    assert frozen.encoders["cxr"].arguments == {"size_px": 64}
    assert frozen.encoders["cxr"].model_dump()["frozen"] is True
    assert task_digest(frozen) != task_digest(task(catalog))


def test_an_adapter_is_a_name_or_a_table(catalog: Catalog):
    short, long = (
        task(catalog, f"encoders.cxr.adapter={text}") for text in ("lora", '{name="lora"}')
    )
    assert short == long
    ranked = task(catalog, "encoders.cxr.adapter.name=lora", "encoders.cxr.adapter.rank=4")
    adapter = ranked.encoders["cxr"].adapter
    assert adapter is not None
    assert adapter.arguments == {"rank": 4}
    with pytest.raises(DefinitionError, match=r"encoders\.cxr\.adapter: unknown argument 'rnk'"):
        task(catalog, "encoders.cxr.adapter.name=lora", "encoders.cxr.adapter.rnk=4")
    with pytest.raises(DefinitionError, match="unknown adapter 'lorra'; did you mean 'lora'"):
        task(catalog, "encoders.cxr.adapter=lorra")
    with pytest.raises(DefinitionError, match="frozen = true and an adapter; expected one"):
        task(catalog, "encoders.cxr.adapter=lora", "encoders.cxr.frozen=true")


def test_weights_of_others_need_a_digest_a_licence_and_their_training_data():
    arguments = {"name": "timm", "architecture": "test_vit", "weights": "w.safetensors"}
    assert problems(**arguments, **PINS) == []
    assert problems(**arguments, **{**PINS, "training_data": []}) == []  # unknown
    found = problems(**arguments)
    assert [p.partition(";")[0] for p in found] == [
        f"encoders.cxr has no '{name}'" for name in PINS
    ]
    # Of our own architectures a file alone was allowed before, and is.
    assert problems(name="resnet18", weights="w.safetensors") == []
    assert len(problems(name="resnet18", weights="w.safetensors", sha256="0" * 64)) == 2
    (alone,) = problems(name="small_cnn", **PINS)
    assert "sha256, licence, training_data without 'weights'" in alone


@pytest.mark.parametrize("value", ["0" * 63, "g" * 64, "A" * 64])
def test_a_digest_has_64_lower_digits(catalog: Catalog, value: str):
    with pytest.raises(DefinitionError, match=r"encoders\.cxr\.sha256 is"):
        task(catalog, f'encoders.cxr.sha256="{value}"')


def test_a_misspelt_field_is_hinted_at(catalog: Catalog):
    with pytest.raises(DefinitionError, match="unknown argument 'frozn'; did you mean 'frozen'"):
        task(catalog, "encoders.cxr.frozn=true")


def test_a_corrected_licence_leaves_the_digest_and_paths_stay_here(catalog: Catalog):
    words = [
        'encoders.cxr.name="resnet18"',
        'encoders.cxr.weights="/home/me/w.safetensors"',
        'encoders.cxr.training_list="/home/me/list.txt"',
        f'encoders.cxr.sha256="{"0" * 64}"',
        'encoders.cxr.training_data=["MIMIC-CXR"]',
    ]
    table = 'encoders.cxr={name="resnet18"}'
    first = task(catalog, table, *words[1:], 'encoders.cxr.licence="MIT"')
    other = task(catalog, table, *words[1:], 'encoders.cxr.licence="CC-BY-4.0"')
    assert task_digest(first) == task_digest(other)
    dumped = portable_fields(first, exclude=set())["encoders"]["cxr"]
    assert encoder_source(dumped) == {
        "weights": "w.safetensors",
        "sha256": "0" * 64,
        "licence": "MIT",
        "training_data": ["MIMIC-CXR"],
        "training_list": "list.txt",
    }
