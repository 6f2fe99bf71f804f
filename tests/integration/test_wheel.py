"""What is built is what is here: the definitions travel in the wheel and in the sdist."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.packaging, pytest.mark.slow]


def _definitions() -> set[str]:
    folders = ("cohorts", "tasks", "reports", "schemas", "templates")
    files = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in files}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist that it was built from."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_the_sdist_has_the_definitions(built: tuple[Path, Path]):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert _definitions() <= names


def test_the_wheel_has_the_definitions_and_no_tests(built: tuple[Path, Path]):
    with zipfile.ZipFile(built[0]) as archive:
        names = set(archive.namelist())
    assert {f"clinical_symile/_catalog/{name}" for name in _definitions()} <= names
    assert "clinical_symile/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"clinical_symile"}


def test_what_is_installed_lists_what_the_checkout_lists(
    built: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("CLINICAL_SYMILE_CATALOG", raising=False)
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"]
    offline = ["--no-index", "--disable-pip-version-check", "--quiet", str(built[0])]
    subprocess.run([*command, *offline], check=True, capture_output=True)

    # What this package needs is not installed again: it is seen where it is, after our own.
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    made = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    site = Path(made.stdout.strip())
    (site / "seen.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    code = "import clinical_symile; print(clinical_symile.__file__)"
    made = _run([python, "-c", code], tmp_path)
    assert Path(made).is_relative_to(site)
    installed = _run([python, "-m", "clinical_symile", "list"], tmp_path)
    assert installed == _run([sys.executable, "-m", "clinical_symile", "list"], tmp_path)


def _run(command: list[str | Path], folder: Path) -> str:
    made = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return made.stdout.strip()
