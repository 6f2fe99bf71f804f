"""Sign with an SSH key, and verify such a signature, by OpenSSH's `ssh-keygen -Y`."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from clinical_symile.errors import DataError
from clinical_symile.files import write_bytes

_PROGRAM = "ssh-keygen"
_NAMESPACE = "clinical-symile"  # a signature for another purpose is not valid here
_FINGERPRINT = re.compile(r"key (\S+)\s*$")


def check_key(key: Path) -> None:
    """Refuse a key that is not there, before any work is done.

    Raises:
        DataError: there is no such file.
    """
    if not key.is_file():
        raise DataError(
            f"{key}: no such file; expected an SSH key. `ssh-keygen -t ed25519 -f {key}` makes "
            "one.",
            code="CS-R024",
        )


def sign(content: bytes, key: Path) -> bytes:
    """Return the signature of some content.

    Args:
        content: what is signed.
        key: the file of a private SSH key, or of a public one whose private key an agent holds.

    Raises:
        DataError: there is no such key or no `ssh-keygen`, or the key cannot sign.
    """
    check_key(key)
    made = _run(["-Y", "sign", "-f", str(key), "-n", _NAMESPACE], content)
    if made.returncode != 0:
        raise DataError(
            f"{key}: cannot sign: {_said(made)}. Give a private SSH key that you can use.",
            code="CS-R024",
        )
    return made.stdout


def signer_of(content: bytes, signature: bytes, *, signers: Path | None = None) -> str:
    """Return who signed some content: a principal of `signers`, else the key's fingerprint.

    Args:
        content: what was signed.
        signature: as `sign` returns it.
        signers: a file of allowed signers as `man ssh-keygen` describes it. Without it, any key
            will do: the signature then tells that one key made it, not whose it is.

    Raises:
        DataError: the signature is of other content, of none of the signers, or damaged.
    """
    if signers is not None and not signers.is_file():
        raise DataError(
            f"{signers}: no such file; expected allowed signers: lines of a name and a public "
            "key. Correct the path.",
            code="CS-R024",
        )
    with TemporaryDirectory() as folder:
        place = Path(folder) / "signature"
        write_bytes(place, signature)
        about = ["-n", _NAMESPACE, "-s", str(place)]
        made = _run(["-Y", "check-novalidate", *about], content)
        if made.returncode != 0:
            raise DataError(
                f"the signature does not fit: {_said(made)}. Get the file again from its author.",
                code="CS-R024",
            )
        found = _FINGERPRINT.search(made.stdout.decode(errors="replace"))
        key = found[1] if found else "an unknown key"
        if signers is None:
            return key
        known = _run(["-Y", "find-principals", "-s", str(place), "-f", str(signers)], b"")
        for principal in known.stdout.decode(errors="replace").splitlines():
            checked = ["-Y", "verify", "-f", str(signers), "-I", principal, *about]
            if _run(checked, content).returncode == 0:
                return principal
    raise DataError(
        f"{signers}: none of the signers has {key}, which signed. Ask the signer for the public "
        "key.",
        code="CS-R024",
    )


def _run(arguments: Sequence[str], content: bytes) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run([_PROGRAM, *arguments], input=content, capture_output=True)
    except FileNotFoundError:
        raise DataError(
            f"{_PROGRAM} is not installed here; signatures need it. Install OpenSSH 8.2 or later.",
            code="CS-U004",
        ) from None


def _said(made: "subprocess.CompletedProcess[bytes]") -> str:
    text = (made.stderr or made.stdout).decode(errors="replace")
    return " ".join(text.split()).rstrip(".") or f"status {made.returncode}"
