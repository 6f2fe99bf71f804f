"""Signatures by `ssh-keygen -Y`: who signed what, and what is refused."""

import shutil
import subprocess
from pathlib import Path

import pytest

from clinical_symile.errors import DataError
from clinical_symile.tracking.signature import sign, signer_of

CONTENT = b'{"bundle": 1}'
with_ssh = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="no ssh-keygen on this machine"
)


def _key(folder: Path, name: str) -> Path:
    key = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)]
    subprocess.run(command, check=True)
    return key


def _signers(folder: Path, **keys: Path) -> Path:
    lines = [f"{name}@example.org {Path(f'{key}.pub').read_text()}" for name, key in keys.items()]
    path = folder / "signers"
    path.write_text("".join(lines))
    return path


@with_ssh
def test_a_signature_tells_its_key_and_the_name_that_the_reader_gave_it(tmp_path: Path):
    key, other = _key(tmp_path, "ours"), _key(tmp_path, "theirs")
    signature = sign(CONTENT, key)
    assert signature == sign(CONTENT, key)
    assert signer_of(CONTENT, signature).startswith("SHA256:")
    signers = _signers(tmp_path, ann=key, bob=other)
    assert signer_of(CONTENT, signature, signers=signers) == "ann@example.org"
    with pytest.raises(DataError, match="none of the signers has SHA256:"):
        signer_of(CONTENT, signature, signers=_signers(tmp_path, bob=other))


@with_ssh
def test_other_content_another_purpose_and_no_signature_are_refused(tmp_path: Path):
    key = _key(tmp_path, "ours")
    for_mail = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", "email"],
        input=CONTENT,
        capture_output=True,
        check=True,
    ).stdout
    for content, signature in (
        (CONTENT + b" ", sign(CONTENT, key)),
        (CONTENT, for_mail),
        (CONTENT, b"nothing"),
    ):
        with pytest.raises(DataError, match="the signature does not fit") as refused:
            signer_of(content, signature)
        assert "CS-R024" in str(refused.value)


@with_ssh
def test_keys_and_signers_that_are_not_there_or_cannot_sign_are_refused(tmp_path: Path):
    (tmp_path / "notes").write_text("no key")
    with pytest.raises(DataError, match="notes: cannot sign: "):
        sign(CONTENT, tmp_path / "notes")
    with pytest.raises(DataError, match="no such file; expected an SSH key"):
        sign(CONTENT, tmp_path / "gone")
    with pytest.raises(DataError, match="no such file; expected allowed signers"):
        signer_of(CONTENT, b"", signers=tmp_path / "gone")


def test_without_ssh_keygen_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "key").write_text("a key")
    for call in (lambda: sign(CONTENT, tmp_path / "key"), lambda: signer_of(CONTENT, b"x")):
        with pytest.raises(DataError, match="ssh-keygen is not installed here") as refused:
            call()
        assert "CS-U004" in str(refused.value)
