"""Pages fit a phone: tables of words become lists, and names break where a reader expects it."""

import re

from docs.hooks.layout import fit


def _table(head: list[str], *rows: list[str], align: str = "") -> str:
    style = f' style="text-align: {align};"' if align else ""
    lines = ["".join(f"<th>{cell}</th>" for cell in head)]
    lines += ["".join(f"<td{style}>{cell}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _words(html: str) -> str:
    return re.sub(r"<[^>]+>", "", html).replace("&nbsp;", " ")


def test_a_cell_of_a_table_of_words_has_the_name_of_its_column():
    html = fit(_table(["field", "value", "default"], ["dim", "whole number", "required"]))
    assert html.startswith("<table data-stacked>")
    assert '<td data-label="value">' in html
    assert '<td data-label="default">' in html


def test_a_description_needs_no_label_and_an_empty_cell_is_not_shown():
    html = fit(_table(["field", "meaning", "note"], ["dim", "width of the embeddings", ""]))
    assert "data-label" not in html.replace('data-label="field"', "")
    assert "<td data-empty></td>" in html


def test_a_table_of_numbers_stays_a_table():
    numbers = _table(["n", "d", "seconds"], ["256", "512", "0.66"], align="right")
    assert "data-stacked" not in fit(numbers)
    assert "data-stacked" not in fit(_table(["split", "samples", "subjects"], ["train", "9", "4"]))


def test_words_beside_numbers_make_a_list_if_they_are_long():
    table = _table(["n", "d", "which"], ["256", "512", "every combination"], align="right")
    long = table.replace('<td style="text-align: right;">every', f"<td>{'a long text ' * 5}every")
    assert "data-stacked" not in fit(table)
    assert "data-stacked" in fit(long)


def test_no_word_of_a_page_changes():
    page = (
        "<h3>clinical_symile.stats.bootstrap</h3><p>See <code>work/runs/symile-0</code>.</p>"
        "<pre><code>clinical-symile train --out work/runs/symile-0</code></pre>"
        + _table(["a", "b", "c"], ["<code>mcar-30</code>", "0.49 / 0.49", "0.7 [0.6, 0.8]"])
        + _table(["a", "b"], ["x", "y"])
    )
    assert _words(fit(page)) == _words(page)


def test_a_long_name_breaks_after_a_dot_a_slash_or_an_underscore_but_not_in_a_block_of_code():
    assert fit("<p>clinical_symile.stats</p>") == "<p>clinical_<wbr>symile.<wbr>stats</p>"
    assert fit("<p>runs/a.b</p>") == "<p>runs/a.b</p>"
    block = "<pre><code>clinical_symile.stats.bootstrap</code></pre>"
    assert fit(block) == block
    link = '<a href="benchmarks/results/demo.md">x</a>'
    assert fit(link) == link


def test_an_option_stays_on_one_line():
    assert '<span class="unbroken">--out</span> DIR' in fit("<code>train --out DIR</code>")
    assert '[<span class="unbroken">-h</span>]' in fit("<pre><code>train [-h]</code></pre>")
    assert "unbroken" not in fit("<p>a -- b, x-y</p>")


def test_an_interval_and_a_short_name_stay_on_one_line():
    html = fit(_table(["run", "value", "c"], ["symile-0", "0.680 [0.646, 0.708]", "0.42 s"]))
    for part in ("symile-0", "[0.646, 0.708]", "0.42 s"):
        assert f'<span class="unbroken">{part}</span>' in html
