import hashlib
from dataclasses import replace

import pytest

from clinical_symile.errors import CannotScore, DataError


def test_a_site_pattern_may_come_from_a_table_of_another_site(draw, panels, tmp_path):
    store = replace(panels, path=tmp_path)
    (tmp_path / "sites").mkdir()
    table = tmp_path / "sites" / "clinic.csv"
    table.write_text("cxr,ecg,labs,count\n1,1,1,50\n0,0,1,150\n0,0,0,900\n1,0,0,0\n")
    available = draw("site-clinic", store=store).available
    assert (available == [False, False, True]).all(axis=1).mean() == pytest.approx(0.75, abs=0.015)
    assert (available.all(axis=1) | (available == [False, False, True]).all(axis=1)).all()
    for text, message in (
        ("cxr,ecg,labs\n1,1,1\n", "no column count. Add it."),
        ("cxr,ecg,labs,count\n0,0,0,5\n", "no line with a modality and a count above 0"),
        ("cxr,ecg,labs,count\n1,2,0,5\n", "other values than 0 and 1"),
        ("cxr,ecg,labs,count\n1,1,1,5\n1,0,0,many\n1,0,0,\n", "2 counts are no numbers"),
        ("cxr,ecg,labs,count\n1,1,1,inf\n", "1 counts are no numbers"),
        ("", r"clinic\.csv: cannot be read"),
        ("cxr,ecg,labs,count\n1,1,1,5\n1,1,1,5,6,7\n", r"clinic\.csv: cannot be read"),
    ):
        table.write_text(text)
        with pytest.raises(DataError, match=message):
            draw("site-clinic", store=replace(store))
    table.write_bytes("cxr,ecg,labs,count,größe\n1,1,1,5,1\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"clinic\.csv: cannot be read \(UnicodeDecodeError\)"):
        draw("site-clinic", store=replace(store))
    table.write_text("cxr,ecg,count\n1,1,1\n")
    with pytest.raises(CannotScore, match=r"sites/clinic\.csv has no column labs, which this task"):
        draw("site-clinic", store=replace(store))


def test_a_mask_that_is_kept_is_the_same_when_it_is_read(draw, panels, tmp_path):
    mask, store = draw("mnar-30"), replace(panels, path=tmp_path)
    mask.write(tmp_path / "masks" / "ours.csv")
    again = draw("mask-ours", store=store)
    assert again.digest == mask.digest
    mask.write(tmp_path / "masks" / "again.csv")
    first, second = ((tmp_path / "masks" / f"{n}.csv").read_bytes() for n in ("ours", "again"))
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    lines = first.decode().splitlines()
    for changed, message in (
        (lines[:-1], "1 of 10000 samples have no line"),
        ([*lines, lines[-1]], "no sample twice"),
    ):
        (tmp_path / "masks" / "ours.csv").write_text("\n".join(changed) + "\n")
        with pytest.raises(DataError, match=message):
            draw("mask-ours", store=replace(store))
    nothing = [*lines[:-1], lines[-1].partition(",")[0] + ",0,0,0"]
    (tmp_path / "masks" / "ours.csv").write_text("\n".join(nothing) + "\n")
    assert not draw("mask-ours", store=replace(store)).available[-1].any()
