"""Lab events are read from MEDS by a query, ordered, cut, and converted to percentiles."""

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.lab_events import LabEvents

CODES = ["LAB//K//mmol/L", "LAB//NA//mmol/L"]
NAN = float("nan")
# The column of the guide: all events of a subject within a day of admission, from MEDS.
QUERY = """
SELECT
    s.subject_id,
    to_json(list(
        {'hours': epoch(e.time - s.admitted) / 3600, 'code': e.code, 'value': e.numeric_value}
        ORDER BY e.time
    ))::VARCHAR AS lab_events
FROM stays AS s
JOIN events AS e
    ON e.subject_id = s.subject_id
    AND starts_with(e.code, 'LAB//') AND e.numeric_value IS NOT NULL
    AND e.time BETWEEN s.admitted - INTERVAL 24 HOUR AND s.admitted + INTERVAL 24 HOUR
GROUP BY s.subject_id
ORDER BY s.subject_id
"""


def adapter(events: int = 4) -> LabEvents:
    return LabEvents(Path(), column="labs", codes=CODES, events=events)


def row(*events: tuple[float | None, str, float | None]) -> dict[str, Any]:
    keys = ("hours", "code", "value")
    return {"labs": json.dumps([dict(zip(keys, event, strict=True)) for event in events])}


def read(*events: tuple[float | None, str, float | None]) -> tuple[np.ndarray | None, list[str]]:
    notes: list[str] = []
    return adapter().read(row(*events), Path(), notes.append), notes


def test_events_are_stored_in_the_order_of_their_times() -> None:
    found, notes = read((3.0, CODES[1], 140.0), (-1.0, CODES[0], 4.5), (3.0, CODES[0], 4.0))
    expected = [[-1, 3, 3, NAN], [4.5, 4.0, NAN, NAN], [NAN, NAN, 140, NAN]]
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))
    assert notes == []


def test_the_last_events_are_kept_and_the_rest_is_noted() -> None:
    found, notes = read(*((float(hour), CODES[0], hour / 10) for hour in range(6)))
    assert found is not None
    assert found[0].tolist() == [2, 3, 4, 5]
    assert notes == ["cut"]


def test_other_codes_and_events_without_a_number_are_left_out_and_noted() -> None:
    found, notes = read((0, "LAB//X", 1.0), (2.0, CODES[0], 1.0), (None, CODES[0], 1.0))
    assert found is not None
    assert (~np.isnan(found[0])).sum() == 1
    assert notes == ["other-code", "not-a-number"]
    for events in ([], [(0, "LAB//X", 1.0), (None, CODES[0], 1.0), (1, CODES[0], None)]):
        with pytest.raises(Rejected, match="no event has one of the codes, a time and a value"):
            read(*events)


@pytest.mark.parametrize("cell", ["[1", "3", '[{"code": "LAB//K"}]', '{"hours": 1}', "[7]"])
def test_a_column_without_such_a_list_is_rejected_without_its_content(cell: str) -> None:
    with pytest.raises(Rejected) as caught:
        adapter().read({"labs": cell}, Path())
    assert caught.value.reason == "not-readable"
    assert "expected a JSON list of objects with hours, code, value" in caught.value.detail
    assert cell not in caught.value.detail


def test_inputs_are_days_percentiles_and_codes_by_hand() -> None:
    measured = [read(*events)[0] for events in ([(12.0, CODES[0], 4.0)], [(24.0, CODES[0], 5.0)])]
    stored = np.stack([one for one in measured if one is not None])
    statistics = LabEvents.fit(iter([stored[:1], stored[1:]]))
    assert statistics["distributions"][0] == {"values": [4.0, 5.0], "counts": [1, 1]}
    inputs = LabEvents.transform(stored, statistics)
    assert inputs.shape == (2, 4, 4)
    assert inputs[:, :, 0].tolist() == [[0.5, 0.5, 1, 0], [1, 1, 1, 0]]
    assert not inputs[:, :, 1:].any()
    other, _ = read((0.0, CODES[1], 140.0))
    assert other is not None
    assert LabEvents.transform(other[None], statistics)[0, :, 0].tolist() == [0, 0.5, 0, 1]


def test_events_of_meds_come_through_a_query(tmp_path: Path) -> None:
    table = {
        "subject_id": [1, 1, 1, 2, 2],
        "time": pd.to_datetime(
            ["2100-01-01T06", "2100-01-01T03", "2100-01-05T00", "2100-01-01T02", "2100-01-01T02"]
        ),
        "code": [CODES[1], CODES[0], CODES[0], CODES[0], "HOSPITAL_ADMISSION//URGENT"],
        "numeric_value": [139.0, 4.1, 9.9, 3.9, None],
    }
    pd.DataFrame(table).to_parquet(tmp_path / "0.parquet", index=False)
    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW events AS FROM '{tmp_path}/*.parquet'")
    connection.execute(
        "CREATE VIEW stays AS SELECT DISTINCT subject_id, TIMESTAMP '2100-01-01' AS admitted "
        "FROM events"
    )
    selected = connection.execute(QUERY).fetchall()
    of_meds = LabEvents(Path(), column="lab_events", codes=CODES, events=2)
    first, second = (of_meds.read({"lab_events": cell}, tmp_path) for _, cell in selected)
    assert first is not None
    np.testing.assert_array_equal(
        first, np.array([[3, 6], [4.1, NAN], [NAN, 139]], dtype=np.float32)
    )
    assert second is not None
    assert second[0, 0] == 2


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="codes has 2 names; expected one or more, each once"):
        LabEvents(Path(), column="labs", codes=["a", "a"])
    with pytest.raises(ValueError, match="events is 0; expected a whole number of 1 or more"):
        LabEvents(Path(), column="labs", codes=["a"], events=0)
