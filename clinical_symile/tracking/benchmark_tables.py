"""Define the rows of a benchmark's tables of settings, masks, seeds, ranks and comparisons."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TriedSetting:
    """One setting of a pretraining task, and what it reached on the tuning split.

    Attributes:
        task: the pretraining task.
        setting: its number; 1 is the task as it is defined.
        changes: the fields that the setting changes, with their values.
        seed: the seed it was trained with.
        metric: the metric of the tuning split that selects epochs and settings.
        value: its highest value after an epoch.
        epoch: that epoch.
        epochs: number of epochs.
        is_best: whether it has the highest value; the task is trained with it.
    """

    task: str
    setting: int
    changes: Mapping[str, Any]
    seed: int
    metric: str
    value: float
    epoch: int
    epochs: int
    is_best: bool


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
        low: lower end of its 95 % interval, by bootstrap over subjects; None if all resamples
            give the same rank.
        high: upper end of that interval.
        best: share of the resamples in which the method ranks first.
    """

    cohort: str
    method: str
    missingness: str
    tasks: list[str]
    rank: float
    low: float | None
    high: float | None
    best: float


@dataclass(frozen=True, kw_only=True)
class MethodComparison:
    """The difference of two methods on a task, over subjects and seeds.

    Attributes:
        cohort: the cohort's name.
        task: the task's name.
        missingness: the pattern.
        metric: the task's primary metric.
        method: the pretraining task.
        baseline: the pretraining task of the other method.
        n_seeds: number of runs of the method.
        n_baseline_seeds: number of runs of the other method.
        difference: mean over seeds of `method` minus that of `baseline`.
        low: lower end of the 95 % interval, over subjects and seeds.
        high: its upper end.
        p_value: of the test that there is no difference.
        p_holm: adjusted for all comparisons of methods; of primary ones, for these alone.
        n_samples: number of evaluated samples.
        n_subjects: number of their subjects.
        digest: of task, cohort, store and candidate lists.
    """

    cohort: str
    task: str
    missingness: str
    metric: str
    method: str
    baseline: str
    n_seeds: int
    n_baseline_seeds: int
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float
    n_samples: int
    n_subjects: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class NetBenefitDifference:
    """Net benefit of a run minus that of another on the same samples, at one threshold.

    Attributes:
        run: the run in question.
        baseline: the run it is compared with.
        cohort: the cohort's name.
        task: the task's name.
        missingness: the pattern.
        part: the outcome, for a task with several; else None.
        threshold: the risk from which a clinician would treat.
        difference: net benefit of `run` minus that of `baseline`.
        low: lower end of the 95 % interval over subjects, paired; None where there is none.
        high: upper end of that interval.
        p_value: two-sided p-value that there is no difference.
        p_holm: p-value adjusted for all rows of the table (Holm).
        no_interval: the reason, where there is no interval.
        n_samples: number of evaluated samples.
        n_subjects: number of their subjects.
        digest: fingerprint of task, cohort, store and candidate lists.
    """

    run: str
    baseline: str
    cohort: str
    task: str
    missingness: str
    part: str | None
    threshold: float
    difference: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    no_interval: str | None = None
    n_samples: int
    n_subjects: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """One number on how a method's performance holds up when modalities are missing.

    Attributes:
        cohort: the cohort's name.
        task: the task's name.
        metric: the task's primary metric.
        method: the pretraining task; its performance is the mean over its seeds.
        quantity: `retained`, the share of the performance above chance that is left; `area`, the
            mean performance over the rates of a mechanism; `retained_area`, the mean retained share
            over them; `effective`, the performance minus the one that other methods predict.
        missingness: the pattern; for areas the mechanism with the highest rate, such as `mcar-50`.
        value: the number; None where it is not defined.
        low: lower end of its 95 % interval, by bootstrap over subjects; None where there is none.
        high: upper end of that interval.
        reason: why there is no value, or no interval; None where there are both.
        n_methods: number of methods that the number is computed from.
        n_samples: number of evaluated samples.
        n_subjects: number of their subjects.
        digest: fingerprint of task, cohort, store and candidate lists.
    """

    cohort: str
    task: str
    metric: str
    method: str
    quantity: str
    missingness: str
    value: float | None
    low: float | None
    high: float | None
    reason: str | None
    n_methods: int
    n_samples: int
    n_subjects: int
    digest: str
