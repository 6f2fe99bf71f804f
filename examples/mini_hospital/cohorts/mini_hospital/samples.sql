-- One row per admission, by the rules of Symile-MIMIC (Saporta et al. 2024): the earliest ECG and the
-- earliest value of each lab within 24 hours of admission on either side, and the earliest frontal
-- chest X-ray more than 24 and at most 72 hours after it. All are joined by person and time, since
-- many recordings carry no admission; of two at the same time the first in its file counts. Unlike
-- there, an admission needs only one of the three, an X-ray without a CheXpert row stays, and the
-- earliest recording is taken before it is known whether it can be used.

WITH cxr AS (
    SELECT
        subject_id, study_id, row_number() OVER () AS place,
        -- StudyTime is HHMMSS.fff read as a number, so its leading zeros are lost
        try_strptime(
            CAST(StudyDate AS VARCHAR)
                || lpad(CAST(CAST(trunc(CAST(StudyTime AS DOUBLE)) AS BIGINT) AS VARCHAR), 6, '0'),
            '%Y%m%d%H%M%S'
        ) AS taken,
        format('files/p{}/p{}/s{}/{}.jpg', left(CAST(subject_id AS VARCHAR), 2), subject_id,
               study_id, dicom_id) AS cxr_path
    FROM cxr_metadata
    WHERE ViewPosition IN ('AP', 'PA')
),

first_cxr AS (
    SELECT hadm_id, study_id, cxr_path
    FROM admissions JOIN cxr USING (subject_id)
    WHERE taken > admittime + INTERVAL 24 HOUR AND taken <= admittime + INTERVAL 72 HOUR
    QUALIFY row_number() OVER (PARTITION BY hadm_id ORDER BY taken, place) = 1
),

ecg AS (
    SELECT subject_id, ecg_time, path AS ecg_path, row_number() OVER () AS place FROM ecg_records
),

first_ecg AS (
    SELECT hadm_id, ecg_path
    FROM admissions JOIN ecg USING (subject_id)
    WHERE ecg_time BETWEEN admittime - INTERVAL 24 HOUR AND admittime + INTERVAL 24 HOUR
    QUALIFY row_number() OVER (PARTITION BY hadm_id ORDER BY ecg_time, place) = 1
),

lab AS (
    SELECT subject_id, itemid, charttime, valuenum, row_number() OVER () AS place FROM labevents
),

first_labs AS (
    SELECT hadm_id, 'lab_' || itemid AS lab, arg_min(valuenum, (charttime, place)) AS value
    FROM admissions JOIN lab USING (subject_id)
    WHERE valuenum IS NOT NULL
        AND charttime BETWEEN admittime - INTERVAL 24 HOUR AND admittime + INTERVAL 24 HOUR
    GROUP BY ALL
),

labs AS (
    FROM first_labs PIVOT (
        any_value(value) FOR lab IN (
            'lab_50802', 'lab_50804', 'lab_50813', 'lab_50818', 'lab_50820', 'lab_50821', 'lab_50861',
            'lab_50862', 'lab_50863', 'lab_50868', 'lab_50878', 'lab_50882', 'lab_50885', 'lab_50893',
            'lab_50902', 'lab_50910', 'lab_50912', 'lab_50931', 'lab_50934', 'lab_50947', 'lab_50960',
            'lab_50970', 'lab_50971', 'lab_50983', 'lab_51006', 'lab_51133', 'lab_51146', 'lab_51200',
            'lab_51221', 'lab_51222', 'lab_51237', 'lab_51244', 'lab_51248', 'lab_51249', 'lab_51250',
            'lab_51254', 'lab_51256', 'lab_51265', 'lab_51274', 'lab_51275', 'lab_51277', 'lab_51279',
            'lab_51301', 'lab_51678', 'lab_52069', 'lab_52073', 'lab_52074', 'lab_52075', 'lab_52135',
            'lab_52172'
        )
        GROUP BY hadm_id
    )
),

deaths AS (
    SELECT subject_id, min(coalesce(TRY_CAST(deathtime AS TIMESTAMP), dischtime)) AS died_at
    FROM admissions
    WHERE TRY_CAST(deathtime AS TIMESTAMP) IS NOT NULL OR hospital_expire_flag = 1
    GROUP BY subject_id
)

SELECT
    admissions.subject_id, admissions.hadm_id,
    -- nobody survives an admission that begins after the death, as of organ donors
    CASE WHEN deaths.died_at < admittime OR (deaths.died_at = admittime AND hospital_expire_flag = 0) THEN NULL
         ELSE hospital_expire_flag END AS hospital_expire_flag,
    cxr_path, Cardiomegaly, ecg_path, labs.* EXCLUDE (hadm_id)
FROM admissions
LEFT JOIN deaths USING (subject_id)
LEFT JOIN first_cxr USING (hadm_id)
LEFT JOIN cxr_findings USING (subject_id, study_id)
LEFT JOIN first_ecg USING (hadm_id)
LEFT JOIN labs USING (hadm_id)
