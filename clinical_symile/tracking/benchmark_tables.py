"""Define the rows of a benchmark's tables `masks.jsonl`, `seeds.jsonl` and `ranks.jsonl`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MaskAuroc:
    """AUROC of predicting an outcome from which modalities are available, and nothing else.

    Attributes:
        cohort: the cohort's name.
        task: the task's name.
        missingness: the pattern.
        part: the outcome, for a task with several; else None.
        value: AUROC; 0.5 where missingness says nothing about the outcome.
        low: lower end of its 95 % interval, by bootstrap over subjects.
        high: upper end of that interval.
        expected: the true AUROC of a synthetic cohort; None where it is unknown.
        digest: fingerprint of task, cohort, store and candidate lists.
    """

    cohort: str
    task: str
    missingness: str
    part: str | None
    value: float
    low: float
    high: float
    expected: float | None
    digest: str


@dataclass(frozen=True, kw_only=True)
class SeedComponents:
    """Share of the seed and of the subjects in the variation of a method's metric.

    Attributes:
        cohort: the cohort's name.
        task: the task's name.
        missingness: the pattern.
        method: the pretraining task.
        metric: the task's primary metric.
        n_seeds: number of runs of the method.
        mean: mean over these runs.
        low: lower end of its 95 % interval, for other subjects and other seeds.
        high: upper end of that interval.
        people: standard deviation of one run's metric due to the choice of subjects.
        seeds: standard deviation due to the seed, equal for all subjects.
        both: standard deviation due to the interaction of seed and subjects.
        between: standard deviation between seeds on these subjects, of seed and interaction.
        seeds_low: lower end of the 95 % interval of `between`.
        seeds_high: upper end of that interval.
        n_samples: number of evaluated samples.
        digest: fingerprint of task, cohort, store and candidate lists.
    """

    cohort: str
    task: str
    missingness: str
    method: str
    metric: str
    n_seeds: int
    mean: float
    low: float
    high: float
    people: float
    seeds: float
    both: float
    between: float
    seeds_low: float
    seeds_high: float
    n_samples: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class MethodRank:
    """Mean rank of a method over tasks; 1 is the best.

    Attributes:
        cohort: the cohort's name.
        method: the pretraining task.
        missingness: the pattern; `all` for the mean over all patterns.
        tasks: the tasks that the mean is over, once for each pattern.
        rank: mean rank on all samples.
        low: lower end of its 95 % interval, by bootstrap over subjects.
        high: upper end of that interval.
        best: share of the resamples in which the method ranks first.
    """

    cohort: str
    method: str
    missingness: str
    tasks: list[str]
    rank: float
    low: float
    high: float
    best: float
