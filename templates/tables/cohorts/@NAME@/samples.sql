-- One row per admission, in DuckDB's SQL. The tables are those of [tables] in cohort.toml.
--
--   admissions   admission, person, sex, admitted, discharged, died (1 or 0)
--   xrays        person, taken, view, file
--   ecgs         person, taken, file
--   lab_results  person, taken, code, value
--
-- Recordings are found by person and time, since many carry no admission. Of several in a window the
-- first counts; `file` breaks ties, so that the same tables always give the same rows.

WITH deaths AS (                             -- who died in an admission, did so at its end
    SELECT person, min(discharged) AS died_at FROM admissions WHERE died = '1' GROUP BY person
),

first_xray AS (                              -- frontal, within two days of admission
    SELECT
        admission,
        arg_min(file, (taken, file)) AS xray_file,
        min(epoch(taken - admitted)) / 3600 AS xray_h
    FROM admissions JOIN xrays USING (person)
    WHERE view IN ('AP', 'PA') AND taken BETWEEN admitted AND admitted + INTERVAL 48 HOUR
    GROUP BY admission
),

first_ecg AS (                               -- within a day before or after it
    SELECT
        admission,
        arg_min(file, (taken, file)) AS ecg_file,
        min(epoch(taken - admitted)) / 3600 AS ecg_h
    FROM admissions JOIN ecgs USING (person)
    WHERE taken BETWEEN admitted - INTERVAL 24 HOUR AND admitted + INTERVAL 24 HOUR
    GROUP BY admission
),

-- One line for each row of labs.csv: your code of the lab, and the column that labs.csv names.
first_labs AS (
    SELECT
        admission,
        arg_min(value, (taken, value)) FILTER (code = 'CREA') AS lab_crea,
        arg_min(value, (taken, value)) FILTER (code = 'K') AS lab_k,
        arg_min(value, (taken, value)) FILTER (code = 'NA') AS lab_na,
        arg_min(value, (taken, value)) FILTER (code = 'HB') AS lab_hb,
        arg_min(value, (taken, value)) FILTER (code = 'WBC') AS lab_wbc,
        max(epoch(taken - admitted)) / 3600 AS labs_h
    FROM admissions JOIN lab_results USING (person)
    WHERE value IS NOT NULL
        AND taken BETWEEN admitted - INTERVAL 24 HOUR AND least(admitted + INTERVAL 24 HOUR, discharged)
    GROUP BY admission
)

-- If labs are in one table with a column for each analyte ("wide"), join that instead of first_labs.
SELECT
    a.admission, a.person, a.sex,
    -- an admission that begins after the death, as of organ donors, has no survivor
    CASE WHEN NOT coalesce(d.died_at <= a.admitted, false) OR (a.died = '1' AND d.died_at = a.admitted) THEN a.died END AS died,
    epoch(a.discharged - a.admitted) / 3600 AS discharged_h,
    x.* EXCLUDE (admission),
    e.* EXCLUDE (admission),
    l.* EXCLUDE (admission)
FROM admissions AS a
LEFT JOIN deaths AS d USING (person)
LEFT JOIN first_xray AS x USING (admission)
LEFT JOIN first_ecg AS e USING (admission)
LEFT JOIN first_labs AS l USING (admission)
