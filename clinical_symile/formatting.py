"""Format numbers, intervals, counts and durations for readers."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

SMALLEST_COUNT = 10  # smaller counts of people or samples are withheld
# The joint name of groups whose labels could identify a subject.
RARE_GROUPS = f"others, each of fewer than {SMALLEST_COUNT} subjects"
# A count of people or of what belongs to one of them, unless a message asks for the number.
_COUNTED = re.compile(
    r"(?<![\w.,@<>=-])(?<!least )(?<!most )(?<!than )(?<!expected )(?<!first )(?<!every )"
    r"(?P<n>\d+)(?P<between>(?: of (?:all |its |the )?(?P<total>\d+))? (?:\w+ )?)"
    r"(?P<noun>(?:sample|subject|person|patient|admission|row|recording|value|label|prediction"
    r"|score|embedding|id|pair)s?|people|queries)\b"
)
DASH = "\N{EN DASH}"  # stands for a value that is not known
NO_INTERVAL = "no interval"
PERCENT = "\N{NO-BREAK SPACE}%"


def join_words(words: Sequence[str]) -> str:
    """Join words with commas and `and`.

    >>> join_words(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(words[:-1])] * (len(words) > 1) + list(words[-1:]))


def capitalize_first(text: str) -> str:
    """Return a text with a capital first letter; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def is_percentage(metric: str) -> bool:
    """Return whether a metric is a proportion that readers see in per cent."""
    return metric.startswith("recall_at_")


def format_value(value: float | None, metric: str, *, exact: bool = False) -> str:
    """Format a metric's value: two digits for text, one more if `exact`; a dash if unknown."""
    if value is None or math.isnan(value):
        return DASH
    if not is_percentage(metric):
        return f"{value:.{3 if exact else 2}f}"
    return f"{100 * value:.{1 if exact or value < 0.0995 else 0}f}{PERCENT}"


def format_interval(
    low: float | None, high: float | None, metric: str, *, exact: bool = False
) -> str:
    """Format an interval with the digits of `format_value`; its unit is written once."""
    if low is None or high is None:
        return NO_INTERVAL
    exact = exact or (is_percentage(metric) and low < 0.0995)
    ends = [format_value(end, metric, exact=exact) for end in (low, high)]
    return f"{ends[0].removesuffix(PERCENT)} to {ends[1]}"


def format_difference(value: float | None, metric: str, *, signed: bool = True) -> str:
    """Format a difference of two values; proportions differ by percentage points."""
    if value is None or math.isnan(value):
        return DASH
    sign = "+" if signed else ""
    text = f"{100 * value:{sign}.1f}" if is_percentage(metric) else f"{value:{sign}.3f}"
    return text.replace("-", "\N{MINUS SIGN}")


def format_signed(text: str) -> str:
    """Return a formatted number with a true minus sign, and 0 without a sign."""
    is_zero = not text.strip("+-0.")
    return text.lstrip("+-") if is_zero else text.replace("-", "\N{MINUS SIGN}")


def format_difference_interval(low: float | None, high: float | None, metric: str) -> str:
    """Format the interval of a difference."""
    if low is None or high is None:
        return NO_INTERVAL
    return f"{format_difference(low, metric)} to {format_difference(high, metric)}"


def format_count(n: int) -> str:
    """Format a number of subjects or samples; `<10` for 1 to 9, which could identify someone."""
    return "<10" if 0 < n < SMALLEST_COUNT else f"{n:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def mask_small_counts(text: str) -> str:
    """Replace the whole numbers below 10 in a sentence by `<10`: they could count subjects."""
    return re.sub(r"(?<![\w.,@-])[1-9](?![\w@-]|[.,]\d)", f"<{SMALLEST_COUNT}", text)


def format_part(n: int, total: int) -> str:
    """Format a count so that a small remainder of the total does not follow by subtraction."""
    if n >= SMALLEST_COUNT and 0 < total - n < SMALLEST_COUNT:
        return (
            f">{format_count(total - SMALLEST_COUNT)}"
            if total - SMALLEST_COUNT >= SMALLEST_COUNT
            else f"≥{SMALLEST_COUNT}"
        )
    return format_count(n)


def format_parts(counts: Mapping[str, int]) -> dict[str, str]:
    """Format counts of a known total; none that is withheld follows by subtraction.

    >>> format_parts({"train": 700, "tuning": 40, "held_out": 3})
    {'train': '700', 'tuning': '≥10', 'held_out': '<10'}
    """
    bounded = _bounded_parts([*counts.values()]) or []
    words = {name: format_count(n) for name, n in counts.items()}
    for name in sorted(counts, key=lambda name: counts[name]):
        if counts[name] in bounded:
            bounded.remove(counts[name])
            words[name] = f"≥{SMALLEST_COUNT}"
    return words


def format_total(total: int, parts: Iterable[int]) -> str:
    """Format the total of parts that `format_parts` formats: exact unless they follow from it.

    >>> format_total(125, [100, 22, 3]), format_total(11, [10, 1])
    ('125', 'at least 10')
    """
    follow = _bounded_parts([*parts]) is None and total >= SMALLEST_COUNT
    return format_at_least(total) if follow else format_count(total)


def format_at_least(n: int) -> str:
    """Format a count as a bound, so that what else is known of it does not tell its last digit.

    >>> format_at_least(427)
    'at least 420'
    """
    if n < SMALLEST_COUNT:
        return format_count(n)
    return f"at least {format_count(n // SMALLEST_COUNT * SMALLEST_COUNT)}"


def format_within(numbers: Iterable[int], total: int, words: str) -> list[str]:
    """Format counts among a total that `format_parts` may have withheld.

    Two that differ by less than ten are bounds: one may be among the other.

    >>> format_within([60, 88], 90, "90"), format_within([60, 88], 90, "≥10")
    (['60', '>80'], ['≥10', '≥10'])
    >>> format_within([57, 61, 30], 90, "90")
    ['at least 50', 'at least 60', '30']

    Args:
        numbers: the counts.
        total: of which each is a part.
        words: the total as readers see it; the counts are bounds if it is one.
    """
    numbers = list(numbers)
    if words == format_count(total):
        shown = {n for n in numbers if n >= SMALLEST_COUNT and format_part(n, total)[0].isdigit()}
        close = {n for n in shown for other in shown if 0 < abs(n - other) < SMALLEST_COUNT}
        return [format_at_least(n) if n in close else format_part(n, total) for n in numbers]
    return [words if n >= SMALLEST_COUNT else format_count(n) for n in numbers]


def _bounded_parts(parts: Sequence[int]) -> list[int] | None:
    """Return the larger parts to show as a bound, so that the small ones do not follow.

    Returns:
        As few of the smallest as leave a choice between numbers that fit the total; None if even
        all of them leave none.
    """
    few = [n for n in parts if 0 < n < SMALLEST_COUNT]
    if not few:
        return []
    bounded: list[int] = []
    for n in [0, *sorted(n for n in parts if n >= SMALLEST_COUNT)]:
        bounded += [n] * (n > 0)
        least = len(few) + SMALLEST_COUNT * len(bounded)
        most = (SMALLEST_COUNT - 1) * len(few)
        if least < sum(few) + sum(bounded) and (bounded or (len(few) > 1 and sum(few) < most)):
            return bounded
    return None


def format_nested_counts(counts: Iterable[int]) -> dict[int, str]:
    """Format counts of which one may contain another, so that no small difference follows.

    >>> format_nested_counts([120, 117, 60])
    {60: '60', 117: '>110', 120: '120'}
    """
    distinct = sorted(set(counts))
    larger = [*distinct[1:], *distinct[-1:]]
    return {n: format_part(n, total) for n, total in zip(distinct, larger, strict=True)}


def mask_subject_counts(text: str) -> str:
    """Replace counts below 10 of samples, subjects, rows and the like in a sentence by `<10`.

    Of `n of total`, a small remainder is withheld too. Numbers that are asked for stay.

    >>> mask_subject_counts("3 of 90 samples have no line; expected at least 2 samples")
    '<10 of 90 samples have no line; expected at least 2 samples'
    >>> mask_subject_counts("ecg: 88 of 90 values are in mV")
    'ecg: >80 of 90 values are in mV'
    """

    def masked(found: re.Match[str]) -> str:
        n, total, noun = int(found["n"]), found["total"], found["noun"]
        is_small = 0 < n < SMALLEST_COUNT
        if total is None:
            return f"{format_count(n)}{found['between']}{_plural(noun)}" if is_small else found[0]
        whole = int(total)
        part = format_part(n, whole)
        between = found["between"]
        if 0 < whole < SMALLEST_COUNT:
            between = between.replace(total, format_count(whole), 1)
        words = found["n"] if part == format_count(n) and not is_small else part
        return f"{words}{between}{noun}"

    return _COUNTED.sub(masked, text)


def bound_subject_counts(text: str) -> str:
    """Replace counts of samples, subjects, rows and the like in a sentence by bounds in tens.

    >>> bound_subject_counts("hides ecg of 6 of 412 queries; expected at least 20 queries")
    'hides ecg of <10 of ≥410 queries; expected at least 20 queries'
    """

    def bound(found: re.Match[str]) -> str:
        between = found["between"]
        if found["total"] is not None:
            between = between.replace(found["total"], _bound(int(found["total"])), 1)
        return f"{_bound(int(found['n']))}{between}{_plural(found['noun'])}"

    return _COUNTED.sub(bound, text)


def _bound(n: int) -> str:
    tens = n // SMALLEST_COUNT * SMALLEST_COUNT
    return format_count(n) if n < SMALLEST_COUNT else f"\N{GREATER-THAN OR EQUAL TO}{tens}"


def _plural(noun: str) -> str:
    return noun if noun.endswith("s") or noun == "people" else f"{noun}s"


def format_p_value(p_value: float | None) -> str:
    """Format a p-value with three decimals; `<0.001` below that, a dash if there is none."""
    if p_value is None:
        return DASH
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def format_duration(seconds: float) -> str:
    """Format a duration.

    >>> format_duration(95.0)
    '1 min 35 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    words = [f"{hours} h"] * (hours > 0) + [f"{minutes} min"] * (minutes > 0 or hours > 0)
    return " ".join([*words, f"{rest} s"] if hours == 0 else words)


def format_seconds(seconds: int | float) -> str:
    """Format a duration; one of less than a minute has tenths of seconds.

    >>> format_seconds(4.25), format_seconds(95)
    ('4.2 s', '1 min 35 s')
    """
    return f"{seconds:.1f} s" if seconds < 60 else format_duration(float(seconds))


def format_si(value: int | float, unit: str = "") -> str:
    """Format a quantity with three digits and a prefix of the SI.

    >>> format_si(1_234_567, "B"), format_si(950), format_si(999_999)
    ('1.23 MB', '950', '1 M')
    """
    prefixes = ("", "k", "M", "G", "T", "P", "E")
    place = 0
    while place < len(prefixes) - 1 and float(f"{value:.3g}") >= 1000:
        value, place = value / 1000, place + 1
    return f"{float(f'{value:.3g}'):g} {prefixes[place]}{unit}".rstrip()


def html_table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a small HTML table for notebooks; every text is escaped.

    Args:
        title: the caption.
        head: the column names.
        rows: the cells.
    """
    lines = ["".join(f"<th>{escape(name)}</th>" for name in head)]
    lines += ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><caption>{escape(title)}</caption>{body}</table>"
