"""Say what the comparisons found that were set before results were known."""

from collections.abc import Sequence

from clinical_symile.formatting import join_words
from clinical_symile.reporting.result_lookup import TaskTables
from clinical_symile.reporting.text.answers import Decision
from clinical_symile.reporting.text.labels import pattern_label, task_label


def primary_sentences(
    primary: Sequence[str], decisions: Sequence[Decision], *, tasks: TaskTables
) -> list[str]:
    """Return a sentence for each primary comparison: how many pairs differ, and which most.

    Args:
        primary: each as `TASK:PATTERN`.
        decisions: of all pairs of methods; see `method_decisions`.
        tasks: definitions, by name.
    """
    made = []
    for name in primary:
        task, _, pattern = name.partition(":")
        pairs = [one for one in decisions if (one.task, one.pattern) == (task, pattern)]
        if task in tasks and pairs:
            where = f"{task_label(task, tasks[task])}, {pattern_label(pattern)}"
            made.append(f"Set beforehand as primary: {where}: {_found(pairs)}.")
    return made


def _found(pairs: Sequence[Decision]) -> str:
    decided = [one for one in pairs if one.better]
    if not decided:
        if len(pairs) == 1:
            return f"{join_words(pairs[0].methods)} do not differ significantly"
        return f"none of {len(pairs)} pairs of methods differs significantly"
    most = max(decided, key=lambda one: one.strength)
    sentence = f"{most.better} is better than {most.worse} {most.words}"
    if len(pairs) == 1:
        return sentence
    return f"{sentence}; {len(decided)} of {len(pairs)} pairs of methods differ"
