import subprocess
import sys
from pathlib import Path

import pytest

from clinical_symile.config.report_file import read_requirements
from clinical_symile.errors import DefinitionError, RenamedWordWarning

REPORT = Path(__file__).resolve().parents[2] / "reports" / "benchmark" / "report.toml"


def test_a_report_states_what_it_needs(tmp_path: Path):
    ours = read_requirements(REPORT)
    assert ours.pretraining == ("pretraining/symile", "pretraining/clip")
    assert ours.description.endswith(".")
    assert "retrieval" in ours.sections
    path = tmp_path / "report.toml"
    path.write_text('description = "Mine."\nseeds = [0, 1]\n')
    assert read_requirements(path).seeds == (0, 1)
    assert read_requirements(path).tasks == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# Mine.", "has no 'description'"),
        ("Mine.", "not valid TOML"),
        ("description = 'x'\nseed = [0]", "did you mean 'seeds'"),
        ("description = 'x'\nsections = ['subgroup']", "did you mean 'subgroups'"),
    ],
)
def test_a_report_with_a_problem_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "report.toml"
    path.write_text(text)
    with pytest.raises(DefinitionError, match=rf"report\.toml.*{message}"):
        read_requirements(path)


def test_the_first_comment_of_a_template_is_read_with_a_warning(tmp_path: Path):
    template = tmp_path / "mine.html.j2"
    template.write_text('{#\ndescription = "Mine."\nseeds = [0, 1]\n#}<p>')
    with pytest.warns(RenamedWordWarning, match="mine/template"):
        assert read_requirements(template).seeds == (0, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<p>", "has no definition"),
        ("<p>{# description = 'x' #}", "has no definition"),
        ("{# Mine. #}", "not valid TOML"),
    ],
)
def test_a_template_without_a_definition_is_refused(tmp_path: Path, text: str, message: str):
    template = tmp_path / "mine.html.j2"
    template.write_text(text)
    with pytest.raises(DefinitionError, match=rf"mine\.html\.j2.*{message}"):
        read_requirements(template)


def test_a_template_that_is_not_utf_8_is_one_sentence(tmp_path: Path):
    template = tmp_path / "mine.html.j2"
    template.write_bytes('{#\ndescription = "Größe."\n#}'.encode("latin-1"))
    with pytest.raises(DefinitionError, match=r"mine\.html\.j2: byte 20 is not UTF-8"):
        read_requirements(template)


def test_reading_a_report_loads_neither_matplotlib_nor_torch():
    code = (
        "import sys; from pathlib import Path; "
        "from clinical_symile.config.report_file import read_requirements; "
        f"read_requirements(Path({str(REPORT)!r})); "
        "assert not {'matplotlib', 'torch', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
