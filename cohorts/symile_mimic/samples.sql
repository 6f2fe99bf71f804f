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
        hospital_expire_flag AS died,
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
    FROM whole
)

SELECT
    listed.subject_id, listed.split, listed.part, listed.left_out, listed.cxr_path, listed.ecg_path,
    COLUMNS('^[0-9]{5}$'),  -- the labs, by item id
    person.*
FROM listed LEFT JOIN person USING (hadm_id)
