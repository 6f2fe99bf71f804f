"""Files and folders of weights: their digest, and the part of a run's that fits an encoder."""

import hashlib
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from clinical_symile.errors import DefinitionError
from clinical_symile.models.encoders.waveform import ResNet1d
from clinical_symile.models.encoders.weights import (
    as_buffer,
    check_weights,
    fit_tensors,
    from_buffer,
    of_one_encoder,
    read_json_object,
    read_tensors,
    weights_sha256,
)


def test_the_digest_is_that_of_the_shell(tmp_path: Path):
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"abc")
    assert weights_sha256(file) == hashlib.sha256(b"abc").hexdigest()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "README.md").write_text("not part of it")
    command = "LC_ALL=C; sha256sum *.json *.safetensors | sha256sum"
    found = subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
    assert weights_sha256(tmp_path) == found.stdout.decode().split()[0]
    before = weights_sha256(tmp_path)
    (tmp_path / "config.json").write_text("{ }")
    assert weights_sha256(tmp_path) != before


def test_another_digest_is_refused_with_the_one_that_was_found(tmp_path: Path):
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"abc")
    check_weights(file, None)
    check_weights(file, weights_sha256(file))
    with pytest.raises(DefinitionError, match=weights_sha256(file)) as caught:
        check_weights(file, "0" * 64)
    assert caught.value.problems[0].code == "CS-M028"
    with pytest.raises(DefinitionError, match="no such file"):
        check_weights(tmp_path / "none", None)


def test_bytes_become_a_tensor_and_bytes_again():
    content = bytes(range(256))
    assert from_buffer(as_buffer(content)) == content


def test_the_encoder_of_a_run_that_is_like_the_network_is_found():
    with torch.random.fork_rng(devices=[]):
        network = ResNet1d((12, 500), 4, width=2)
    own = network.state_dict()
    run = {f"model.encoders.ecg.{name}": tensor for name, tensor in own.items()}
    run |= {"model.encoders.cxr.weight": torch.zeros(1), "objective.logit_scale": torch.zeros(1)}
    assert of_one_encoder(run, like=network).keys() == own.keys()
    assert of_one_encoder(own, like=network) == own


def test_tensors_must_all_fit_but_those_that_are_left(tmp_path: Path):
    network = torch.nn.Linear(2, 3)
    save_file({"weight": torch.ones(3, 2), "bias": torch.ones(3)}, tmp_path / "w.safetensors")
    found = read_tensors(tmp_path / "w.safetensors")
    fit_tensors(network, found, where="w")
    assert torch.equal(network.weight.data, torch.ones(3, 2))
    for wrong in ({"weight": torch.ones(3, 2)}, {**found, "more": torch.ones(1)}):
        with pytest.raises(DefinitionError, match="1 keys differ"):
            fit_tensors(network, wrong, where="w")
    fit_tensors(
        network, {"weight": torch.zeros(3, 2), "bias": torch.ones(9)}, leave=("bias",), where="w"
    )
    assert torch.equal(network.bias.data, torch.ones(3))


def test_json_that_is_no_object_is_refused(tmp_path: Path):
    for content in ("[]", "{", "\0"):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(DefinitionError, match=r"config\.json"):
            read_json_object(tmp_path / "config.json")
