-- One row per admission, in DuckDB's SQL, from MEDS events: subject_id, time, code, numeric_value. Codes are
-- a site's own: correct those in quotes.

WITH admitted AS (
    SELECT
        subject_id, time AS admitted,
        lead(time) OVER (PARTITION BY subject_id ORDER BY time) AS next_admitted
    FROM (
        SELECT DISTINCT subject_id, time FROM events
        WHERE starts_with(code, 'HOSPITAL_ADMISSION') AND time IS NOT NULL
    )
),

leaving AS (                                 -- a discharge ends a stay that has one
    SELECT
        a.subject_id, a.admitted, a.next_admitted,
        min(d.time) AS left_at,
        arg_min(d.code, d.time) IN ('HOSPITAL_DISCHARGE//DIED', 'HOSPITAL_DISCHARGE//EXPIRED') AS left_dead
    FROM admitted AS a
    LEFT JOIN events AS d
        ON d.subject_id = a.subject_id
        AND starts_with(d.code, 'HOSPITAL_DISCHARGE')
        AND d.time >= a.admitted
        AND (d.time < a.next_admitted OR a.next_admitted IS NULL)
    GROUP BY ALL
),

-- At 00:00, a death is known by its day alone. A day is compared with days, never with a time.
deaths AS (
    SELECT
        subject_id, min(time) AS died_at,
        min(time) = date_trunc('day', min(time)) AS by_day,
        min(time) + CASE WHEN by_day THEN INTERVAL 24 HOUR ELSE INTERVAL 0 HOUR END AS dead_by
    FROM events
    WHERE code = 'MEDS_DEATH'
    GROUP BY subject_id
),

ended AS (                                   -- without a discharge, a death ends the stay
    SELECT
        l.*, d.died_at, d.by_day,
        coalesce(
            l.left_at,
            CASE WHEN l.next_admitted IS NULL AND d.dead_by >= l.admitted THEN d.dead_by END
        ) AS discharged,
        coalesce(d.dead_by <= l.admitted AND d.died_at < l.admitted, false) AS after_death
    FROM leaving AS l
    LEFT JOIN deaths AS d USING (subject_id)
),

stays AS (
    SELECT
        subject_id || '-' || strftime(admitted, '%Y%m%d%H%M%S') AS admission,
        subject_id, admitted, discharged,
        CASE
            WHEN after_death THEN NULL       -- such as that of an organ donor
            WHEN left_dead OR left_at IS NULL OR died_at = discharged THEN true
            WHEN died_at IS NULL THEN false
            WHEN NOT by_day THEN died_at < discharged
            WHEN died_at::DATE <> discharged::DATE THEN died_at::DATE < discharged::DATE
        END AS died,                         -- of a death on the day of the discharge, unknown
        CASE WHEN discharged IS NULL THEN 'no-discharge' END AS left_out
    FROM ended
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
    WHERE starts_with(code, 'LAB//') AND numeric_value IS NOT NULL AND NOT isnan(numeric_value)
        AND time BETWEEN admitted - INTERVAL 24 HOUR AND least(admitted + INTERVAL 24 HOUR, discharged)
    GROUP BY admission
)

SELECT
    s.admission, s.subject_id, p.split,
    CASE WHEN p.split IS NULL THEN 'in-no-split' ELSE s.left_out END AS left_out,
    s.died,
    epoch(s.discharged - s.admitted) / 3600 AS discharged_h,
    x.* EXCLUDE (admission),
    e.* EXCLUDE (admission),
    l.* EXCLUDE (admission)
FROM stays AS s
LEFT JOIN splits AS p USING (subject_id)
LEFT JOIN first_xray AS x USING (admission)
LEFT JOIN first_ecg AS e USING (admission)
LEFT JOIN first_labs AS l USING (admission)
