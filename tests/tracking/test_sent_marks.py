"""A copy says by hidden tags what of it a sync sent."""

from hypothesis import given
from hypothesis import strategies as st

from clinical_symile.tracking._mlflow_payload import TAG_LENGTH
from clinical_symile.tracking._sent_marks import (
    METRIC_NAMES,
    NOTE_TAG,
    PARAMETERS,
    has_users_note,
    mark_tags,
    note_tags,
    sent_names,
)

NAMES = st.sets(st.text(max_size=20), max_size=30)


@given(NAMES, NAMES, NAMES)
def test_names_that_were_sent_once_are_known_and_no_others(first: set, second: set, users: set):
    tags = mark_tags(METRIC_NAMES, first, tags={}, there=())
    tags |= mark_tags(METRIC_NAMES, second, tags=tags, there=first | users)
    assert sent_names(METRIC_NAMES, tags, first | second | users) == first | second
    assert PARAMETERS not in "".join(tags)


def test_no_tag_is_longer_than_mlflow_accepts():
    names = [f"metric {number}" for number in range(5000)]
    tags = mark_tags(METRIC_NAMES, names, tags={}, there=())
    assert len(tags) == 10
    assert max(map(len, tags.values())) <= TAG_LENGTH
    assert sent_names(METRIC_NAMES, tags, [*names, "mine"]) == set(names)


def test_a_note_is_the_users_if_it_is_not_the_one_that_was_sent():
    tags = {**mark_tags(METRIC_NAMES, [], tags={}, there=()), **note_tags("ours")}
    assert not has_users_note(tags)
    assert has_users_note(tags | {NOTE_TAG: "ours, and mine"})
    assert not has_users_note(tags | {NOTE_TAG: ""})
    assert has_users_note(mark_tags(METRIC_NAMES, [], tags={}, there=()) | {NOTE_TAG: "early"})


def test_a_note_of_version_0_2_0_is_known_by_its_table():
    assert not has_users_note({NOTE_TAG: "x\n\n| task | modalities | metric | value |"})
    assert has_users_note({NOTE_TAG: "mine"})
