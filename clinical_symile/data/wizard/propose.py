"""Propose a cohort from raw tables: read them, guess their meaning, write the files."""

from dataclasses import dataclass
from pathlib import Path

from clinical_symile.data.wizard.profile import profile_tables
from clinical_symile.data.wizard.render import (
    cohort_toml,
    lab_codes_csv,
    labs_csv,
    panel_codes,
    samples_sql,
)
from clinical_symile.data.wizard.roles import Roles, propose_roles
from clinical_symile.errors import DataError


@dataclass(frozen=True)
class Proposal:
    """The files of a proposed cohort.

    Attributes:
        files: text by file name.
        notes: what was found, a sentence each.
    """

    files: dict[str, str]
    notes: tuple[str, ...]


def propose_cohort(name: str, raw: Path) -> Proposal:
    """Propose a cohort over the tables and files of a folder.

    Args:
        name: of the cohort.
        raw: folder with tables, and with the recordings that they list.

    Raises:
        DataError: the folder has no tables, no admissions, or no modality.
    """
    if not raw.is_dir():
        raise DataError(
            f"{raw}: no such folder; expected raw tables. Give it after --from.", code="CS-D001"
        )
    roles = propose_roles(profile_tables(raw), raw)
    if not roles.recordings and not (roles.labs and panel_codes(roles.labs)):
        raise DataError(
            f"{raw}: no X-rays, ECGs or labs were found that link to {roles.stays.table.file}; "
            "expected a column of file paths, or of lab codes and values. Without --from, `init` "
            "writes a template.",
            code="CS-D004",
        )
    files = {"cohort.toml": cohort_toml(name, roles), "samples.sql": samples_sql(roles)}
    if roles.labs:
        files["labs.csv"] = labs_csv(roles.labs)
        files["lab_codes.csv"] = lab_codes_csv(roles.labs)
    return Proposal(files, tuple(_notes(roles)))


def _notes(roles: Roles) -> list[str]:
    stays = roles.stays
    subject = "" if stays.subject is stays.sample else f", {stays.subject.name} the person"
    notes = [f"{stays.table.file}: admissions; {stays.sample.name} is the admission{subject}."]
    if roles.subjects:
        one = roles.subjects
        added = " and ".join(column.name for column in (one.sex, one.died) if column)
        notes.append(f"{one.table.file}: persons; {added}, linked by {one.key.name}.")
    if roles.died is not None:
        notes.append(f"{roles.died.name}: date of death; see deaths in samples.sql.")
    for one in roles.recordings.values():
        notes.append(
            f"{one.table.file}: {one.modality} in {one.file.name}, linked by {one.key.name}."
        )
    if roles.labs:
        known, every = len(panel_codes(roles.labs)), len(roles.labs.codes)
        notes.append(f"{roles.labs.table.file}: labs; {known} of {every} codes are in labs.csv.")
    notes += [f"{file}: not used; no link to the admissions was found." for file in roles.unused]
    return notes
