-- One row per admission, in DuckDB's SQL, from MEDS events: subject_id, time, code, numeric_value. Codes are
-- a site's own: correct those that stand here in quotes.

WITH admitted AS (
    SELECT
        subject_id, time AS admitted,
        lead(time) OVER (PARTITION BY subject_id ORDER BY time) AS next_admitted
    FROM (
        SELECT DISTINCT subject_id, time FROM events
        WHERE starts_with(code, 'HOSPITAL_ADMISSION') AND time IS NOT NULL
    )
),

stays AS (
    SELECT
        a.subject_id || '-' || strftime(a.admitted, '%Y%m%d%H%M%S') AS admission,
        a.subject_id, a.admitted,
        -- a discharge ends a stay that has one; a death may be known by its date alone
        coalesce(
            min(d.time) FILTER (starts_with(d.code, 'HOSPITAL_DISCHARGE')), min(d.time)
        ) AS discharged,
        bool_or(d.code IN ('HOSPITAL_DISCHARGE//DIED', 'HOSPITAL_DISCHARGE//EXPIRED')) AS left_dead,
        bool_or(starts_with(d.code, 'HOSPITAL_DISCHARGE')) AS has_discharge
    FROM admitted AS a
    JOIN events AS d
        ON d.subject_id = a.subject_id
        AND (starts_with(d.code, 'HOSPITAL_DISCHARGE') OR d.code = 'MEDS_DEATH')
        AND d.time >= a.admitted
        AND (d.time < a.next_admitted OR a.next_admitted IS NULL)
    GROUP BY ALL
),

deaths AS (
    SELECT subject_id, min(time) AS died_at FROM events WHERE code = 'MEDS_DEATH' GROUP BY ALL
),

first_xray AS (                              -- frontal, within two days of admission
    SELECT
        admission,
        arg_min(file, (taken, file)) AS xray_file,
        min(epoch(taken - admitted)) / 3600 AS xray_h
    FROM stays JOIN xrays USING (subject_id)
    WHERE view IN ('AP', 'PA') AND taken BETWEEN admitted AND admitted + INTERVAL 48 HOUR
    GROUP BY admission
),

first_ecg AS (                               -- within a day before or after it
    SELECT
        admission,
        arg_min(file, (taken, file)) AS ecg_file,
        min(epoch(taken - admitted)) / 3600 AS ecg_h
    FROM stays JOIN ecgs USING (subject_id)
    WHERE taken BETWEEN admitted - INTERVAL 24 HOUR AND admitted + INTERVAL 24 HOUR
    GROUP BY admission
),

-- One line for each row of labs.csv: the code in MEDS, and the column that labs.csv names.
first_labs AS (
    SELECT
        admission,
        arg_min(numeric_value, (time, numeric_value)) FILTER (code = 'LAB//CREA//mg/dL') AS lab_crea,
        arg_min(numeric_value, (time, numeric_value)) FILTER (code = 'LAB//K//mmol/L') AS lab_k,
        arg_min(numeric_value, (time, numeric_value)) FILTER (code = 'LAB//NA//mmol/L') AS lab_na,
        arg_min(numeric_value, (time, numeric_value)) FILTER (code = 'LAB//HB//g/dL') AS lab_hb,
        arg_min(numeric_value, (time, numeric_value)) FILTER (code = 'LAB//WBC//10*3/uL') AS lab_wbc,
        max(epoch(time - admitted)) / 3600 AS labs_h
    FROM stays JOIN events USING (subject_id)
    WHERE starts_with(code, 'LAB//') AND numeric_value IS NOT NULL
        AND time BETWEEN admitted - INTERVAL 24 HOUR AND least(admitted + INTERVAL 24 HOUR, discharged)
    GROUP BY admission
)

SELECT
    s.admission, s.subject_id, p.split,
    CASE WHEN p.split IS NULL THEN 'in-no-split' END AS left_out,
    -- a death at 00:00 is known by its date: on the day of a discharge it is not compared with a time
    CASE
        WHEN s.left_dead THEN true
        WHEN d.died_at IS NULL THEN false
        WHEN d.died_at <> date_trunc('day', d.died_at) THEN d.died_at <= s.discharged
        WHEN d.died_at::DATE < s.discharged::DATE THEN true
        WHEN d.died_at::DATE > s.discharged::DATE THEN false
        WHEN NOT s.has_discharge THEN true
    END AS died,
    epoch(s.discharged - s.admitted) / 3600 AS discharged_h,
    x.* EXCLUDE (admission),
    e.* EXCLUDE (admission),
    l.* EXCLUDE (admission)
FROM stays AS s
LEFT JOIN splits AS p USING (subject_id)
LEFT JOIN deaths AS d USING (subject_id)
LEFT JOIN first_xray AS x USING (admission)
LEFT JOIN first_ecg AS e USING (admission)
LEFT JOIN first_labs AS l USING (admission)
