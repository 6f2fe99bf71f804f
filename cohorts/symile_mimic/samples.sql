-- One row per admission of the release, and one for each that it has in no split. test.csv holds every
-- admission ten times, once as a query and as a candidate of others: rows that repeat another in full
-- are one sample.

WITH released AS (
    SELECT 'train' AS split, 'train' AS part, * FROM train
    UNION ALL BY NAME
    SELECT 'tuning' AS split, 'val' AS part, * FROM val
    UNION ALL BY NAME
    SELECT 'held_out' AS split, 'test' AS part, * FROM test
),

-- The release leaves out whose person is in an earlier split.
unused AS (
    SELECT
        w.subject_id, w.hadm_id,
        CASE
            WHEN w.subject_id IN (SELECT subject_id FROM train) THEN 'person-in-train'
            WHEN w.subject_id IN (SELECT subject_id FROM val) THEN 'person-in-tuning'
            ELSE 'in-no-split'
        END AS left_out
    FROM whole AS w ANTI JOIN released AS r USING (hadm_id)
),

listed AS (
    SELECT NULL AS left_out, * FROM released UNION ALL BY NAME SELECT * FROM unused
),

-- When people died. A release without a column of these has it empty.
dated AS (
    SELECT
        NULL::VARCHAR AS admittime, NULL::VARCHAR AS dischtime, NULL::VARCHAR AS deathtime, NULL::VARCHAR AS dod
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM whole
),

timed AS (
    SELECT
        hadm_id, subject_id, hospital_expire_flag,
        TRY_CAST(admittime AS TIMESTAMP) AS admittime, TRY_CAST(dischtime AS TIMESTAMP) AS dischtime,
        TRY_CAST(deathtime AS TIMESTAMP) AS deathtime, TRY_CAST(dod AS DATE) AS dod
    FROM dated
),

-- An admission after the death, as of organ donors, has no outcome, nor has one that ended alive after
-- it. Of `dod` only the date is known, so it is compared with dates.
outcome AS (
    SELECT
        t.hadm_id,
        CASE
            WHEN d.died_at < t.admittime OR (d.died_at = t.admittime AND t.hospital_expire_flag = 0) THEN NULL
            WHEN t.dod < t.admittime::DATE THEN NULL
            WHEN t.hospital_expire_flag = 0 AND t.dod < t.dischtime::DATE THEN NULL
            ELSE t.hospital_expire_flag
        END AS died
    FROM timed AS t
    LEFT JOIN (
        SELECT subject_id, min(coalesce(deathtime, dischtime)) AS died_at
        FROM timed
        WHERE deathtime IS NOT NULL OR hospital_expire_flag = 1
        GROUP BY subject_id
    ) AS d USING (subject_id)
),

-- What the splits leave out of it: eight of the findings, and who people are.
person AS (
    SELECT
        hadm_id,
        Atelectasis AS atelectasis,
        Cardiomegaly AS cardiomegaly,
        Consolidation AS consolidation,
        Edema AS edema,
        "Enlarged Cardiomediastinum" AS enlarged_cardiomediastinum,
        Fracture AS fracture,
        "Lung Lesion" AS lung_lesion,
        "Lung Opacity" AS lung_opacity,
        coalesce("No Finding", 0) AS no_finding,
        "Pleural Effusion" AS pleural_effusion,
        "Pleural Other" AS pleural_other,
        Pneumonia AS pneumonia,
        Pneumothorax AS pneumothorax,
        "Support Devices" AS support_devices,
        died,
        cxr_ViewPosition AS cxr_view,
        CASE gender WHEN 'F' THEN 'female' WHEN 'M' THEN 'male' END AS sex,
        CASE
            WHEN age < 40 THEN '18-39'
            WHEN age < 65 THEN '40-64'
            WHEN age < 80 THEN '65-79'
            WHEN age >= 80 THEN '80+'
        END AS age_band,
        CASE
            WHEN race LIKE 'WHITE%' OR race = 'PORTUGUESE' THEN 'white'
            WHEN race LIKE 'BLACK%' THEN 'black'
            WHEN race LIKE 'HISPANIC%' OR race = 'SOUTH AMERICAN' THEN 'hispanic'
            WHEN race LIKE 'ASIAN%' THEN 'asian'
            WHEN race IN ('UNKNOWN', 'UNABLE TO OBTAIN', 'PATIENT DECLINED TO ANSWER') THEN NULL
            WHEN race IS NOT NULL THEN 'other'
        END AS race
    FROM whole LEFT JOIN outcome USING (hadm_id)
)

SELECT
    listed.subject_id, listed.split, listed.part, listed.left_out, listed.cxr_path, listed.ecg_path,
    COLUMNS('^[0-9]{5}$'),  -- the labs, by item id
    person.*
FROM listed LEFT JOIN person USING (hadm_id)
