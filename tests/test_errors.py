"""Codes of errors: each error carries one, each code has an entry and is used."""

import copy
import pickle
import re

import pytest

from clinical_symile import errors
from clinical_symile.errors import (
    CannotScore,
    ClinicalSymileError,
    DataError,
    Problem,
    RenamedWordWarning,
    as_problems,
    error_codes,
    warn_renamed,
)
from tests.helpers.source import PACKAGE, errors_without_a_code

CODE = re.compile(r"CS-[A-Z]\d{3}")
TOML = PACKAGE / "registry" / "error_codes.toml"


def _used() -> set[str]:
    return {
        code
        for path in PACKAGE.rglob("*.py")
        if "_catalog" not in path.parts
        for code in CODE.findall(path.read_text(encoding="utf-8"))
    }


def test_every_error_in_the_source_has_a_code():
    assert errors_without_a_code() == []


def test_every_code_is_used_and_every_used_code_has_an_entry():
    assert _used() == set(error_codes())


def test_codes_are_unique_and_stand_in_the_group_of_their_letter():
    written = re.findall(r"^(CS-\w+) = ", TOML.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(written) == len(set(written)) == len(error_codes())
    assert all(CODE.fullmatch(code) for code in written)
    letters = [code[3] for code in written]
    assert letters == [
        letter for letter in dict.fromkeys(letters) for _ in range(letters.count(letter))
    ]
    for letter in dict.fromkeys(letters):
        numbers = [int(code[4:]) for code in written if code[3] == letter]
        assert numbers == sorted(numbers), f"the numbers of {letter} are not in order"


def test_every_entry_says_in_sentences_what_why_and_what_to_do():
    for code in error_codes().values():
        for words in (code.title, code.meaning, code.action):
            assert words[0].isupper() or words[0] in "`-", code
            assert words.endswith("."), code
            for sentence in re.split(r"(?<=[.:]) ", words):
                assert len(sentence.split()) <= 25, sentence


def test_a_message_ends_with_its_code_and_the_sentences_stay_plain():
    error = DataError("a: wrong.", "b: wrong.", code="CS-D015")
    assert str(error) == "a: wrong. [CS-D015]\nb: wrong. [CS-D015]"
    assert list(error.problems) == ["a: wrong.", "b: wrong."]


def test_a_problem_of_another_error_keeps_its_code_also_behind_a_place():
    inner = DataError("wrong.", code="CS-D015")
    outer = ClinicalSymileError(*(one.at("x") for one in inner.problems), "y.", code="CS-F003")
    assert [one.with_code() for one in outer.problems] == ["x: wrong. [CS-D015]", "y. [CS-F003]"]


def test_an_error_of_a_plugin_may_have_no_code():
    error = DataError("wrong.")
    assert str(error) == "wrong."
    assert error.problems[0].code is None


def test_sentences_without_a_code_become_problems_with_one():
    first, second = as_problems([Problem("a", "CS-D015"), "b"], "CS-F003")
    assert (first.code, second.code) == ("CS-D015", "CS-F003")


def test_an_error_can_leave_a_worker_and_be_copied():
    error = DataError("a.", Problem("b.", "CS-F003"), code="CS-D015")
    for made in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert str(made) == str(error)
        assert [one.code for one in made.problems] == ["CS-D015", "CS-F003"]


def test_a_verdict_prints_its_code_and_keeps_a_plain_reason():
    verdict = CannotScore("no sample.", code="CS-S007")
    for one in (verdict, pickle.loads(pickle.dumps(verdict))):
        assert str(one) == "no sample. [CS-S007]"
        assert (one.reason, one.reason.code) == ("no sample.", "CS-S007")


def test_a_warning_of_a_renamed_word_names_its_code():
    with pytest.warns(RenamedWordWarning, match=re.escape(f"Rename it. [{errors.RENAMED_WORD}]")):
        warn_renamed("key 'absent'", "'missing_modality'", where="x.toml")
