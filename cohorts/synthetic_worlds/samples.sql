-- One row per admission of the made-up hospital: the first X-ray, ECG and labs of each.
-- Everything is found by subject and time, as not every row of a raw table names its admission.
-- Windows, in hours after admission: ECG and labs -24 to 24, frontal X-ray after 24 up to 72.

WITH stays AS (
    SELECT
        a.subject_id,
        a.hadm_id,
        a.admittime::TIMESTAMP AS admitted,
        p.gender AS sex,
        -- as MIMIC gives it: the age in one year, from which others follow
        p.anchor_age + year(a.admittime::TIMESTAMP) - p.anchor_year AS age
    FROM admissions AS a
    LEFT JOIN patients AS p USING (subject_id)
),

first_cxr AS (
    SELECT
        s.hadm_id,
        arg_min(
            format('files/p{}/p{}/s{}/{}.jpg', left(x.subject_id::VARCHAR, 2), x.subject_id, x.study_id, x.dicom_id),
            (x.taken, x.study_id, x.dicom_id)
        ) AS cxr_path
    FROM stays AS s
    JOIN (
        SELECT
            subject_id, study_id, dicom_id,
            -- StudyTime is a number: 81700.5 is 08:17:00.5
            strptime(
                StudyDate::VARCHAR || lpad(floor(StudyTime::DOUBLE)::BIGINT::VARCHAR, 6, '0'),
                '%Y%m%d%H%M%S'
            ) AS taken
        FROM cxr_metadata
        WHERE ViewPosition IN ('AP', 'PA')
    ) AS x
        ON x.subject_id = s.subject_id
        AND x.taken > s.admitted + INTERVAL 24 HOUR
        AND x.taken <= s.admitted + INTERVAL 72 HOUR
    GROUP BY s.hadm_id
),

first_ecg AS (
    SELECT s.hadm_id, arg_min(e.path, (e.ecg_time, e.study_id)) AS ecg_path
    FROM stays AS s
    JOIN ecg_records AS e
        ON e.subject_id = s.subject_id
        AND e.ecg_time BETWEEN s.admitted - INTERVAL 24 HOUR AND s.admitted + INTERVAL 24 HOUR
    GROUP BY s.hadm_id
),

first_labs AS (
    SELECT
        s.hadm_id,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50963) AS lab_50963,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 51003) AS lab_51003,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50911) AS lab_50911,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 51301) AS lab_51301,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50889) AS lab_50889,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 52075) AS lab_52075,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50983) AS lab_50983,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50964) AS lab_50964,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50902) AS lab_50902,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50971) AS lab_50971,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50822) AS lab_50822,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 52610) AS lab_52610,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50912) AS lab_50912,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 51006) AS lab_51006,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 51007) AS lab_51007,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 51222) AS lab_51222,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 51221) AS lab_51221,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 51279) AS lab_51279,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50882) AS lab_50882,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50931) AS lab_50931,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50893) AS lab_50893,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50960) AS lab_50960,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50970) AS lab_50970,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 51265) AS lab_51265,
        arg_min(l.valuenum, (l.charttime, l.labevent_id)) FILTER (l.itemid = 50861) AS lab_50861,
    FROM stays AS s
    JOIN labevents AS l
        ON l.subject_id = s.subject_id
        AND l.charttime BETWEEN s.admitted - INTERVAL 24 HOUR AND s.admitted + INTERVAL 24 HOUR
    WHERE l.valuenum IS NOT NULL
    GROUP BY s.hadm_id
)

SELECT
    s.subject_id,
    s.hadm_id,
    s.sex,
    s.age,
    c.cxr_path,
    e.ecg_path,
    l.* EXCLUDE (hadm_id),
    -- to intensive care after the last moment of the X-ray's window
    EXISTS (
        SELECT 1
        FROM icustays AS i
        WHERE i.hadm_id = s.hadm_id AND i.intime > s.admitted + INTERVAL 72 HOUR
    )::INTEGER AS deterioration,
    -- what a radiologist reads, where there is an X-ray to read
    CASE WHEN c.cxr_path IS NOT NULL THEN f.shown_cxr & 1 END AS enlarged_heart,
    CASE WHEN c.cxr_path IS NOT NULL THEN (f.shown_cxr >> 1) & 1 END AS lung_mass,
    CASE WHEN c.cxr_path IS NOT NULL THEN (f.shown_cxr >> 2) & 1 END AS right_effusion,
    f.shown_cxr,
    f.shown_ecg,
    f.shown_labs
FROM stays AS s
JOIN factors AS f USING (hadm_id)
LEFT JOIN first_cxr AS c USING (hadm_id)
LEFT JOIN first_ecg AS e USING (hadm_id)
LEFT JOIN first_labs AS l USING (hadm_id)
