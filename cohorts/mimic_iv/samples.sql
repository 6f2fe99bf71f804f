-- One row per admission of MIMIC-IV, with what MIMIC-IV-ECG and MIMIC-CXR-JPG have of it, by the rules
-- of Symile-MIMIC (Saporta et al. 2024). It runs on versions 2.2 and 3.1 of MIMIC-IV.
--
-- Windows around the time of admission, ends included unless said otherwise:
--   ECG    from 24 h before to 24 h after
--   labs   the same; the earliest value of each of 50 analytes
--   X-ray  more than 24 h and up to 72 h after; frontal (AP or PA) only
-- All are found by person and time, for many rows of the raw tables name no admission. Of two at the
-- same time, the first in its file counts. ECGs and X-rays come as lists in order of time: the first
-- whose file can be used is taken. Everything else is text in the raw tables but for the columns
-- that `types` in cohort.toml names.

WITH death AS (  -- the time of death, where an admission gives one or ended in death
    SELECT subject_id, min(coalesce(deathtime, dischtime)) AS died_at
    FROM admissions
    WHERE deathtime IS NOT NULL OR hospital_expire_flag = 1
    GROUP BY subject_id
),

stays AS (
    SELECT
        a.subject_id, a.hadm_id, a.admittime, a.dischtime, a.deathtime, a.hospital_expire_flag,
        -- as of organ donors: nothing of such an admission can be predicted. Of `dod` only the date is
        -- known, so it is compared with dates.
        coalesce(
            d.died_at < a.admittime OR (d.died_at = a.admittime AND a.hospital_expire_flag = 0)
                OR p.dod < a.admittime::DATE,
            false
        ) AS after_death,
        coalesce(a.hospital_expire_flag = 0 AND p.dod < a.dischtime::DATE, false) AS contradictory,
        a.race AS recorded_race, a.insurance, p.gender, p.anchor_year_group,
        -- anchor_age is 91 for all who are older than 89
        p.anchor_age + year(a.admittime) - p.anchor_year AS age
    FROM admissions AS a LEFT JOIN patients AS p USING (subject_id) LEFT JOIN death AS d USING (subject_id)
),

-- X-rays: one list per admission

xray AS (
    SELECT
        subject_id, study_id, dicom_id, ViewPosition, row_number() OVER () AS place,
        -- StudyTime is HHMMSS.fff read as a number, so its leading zeros are lost
        try_strptime(
            left(StudyDate, 8) || lpad(CAST(CAST(trunc(StudyTime) AS BIGINT) AS VARCHAR), 6, '0'), '%Y%m%d%H%M%S'
        ) AS taken
    FROM cxr_metadata
),

frontal AS (
    SELECT s.hadm_id, x.*, epoch(x.taken - s.admittime) / 3600 AS cxr_h
    FROM stays AS s JOIN xray AS x USING (subject_id)
    WHERE x.ViewPosition IN ('AP', 'PA')
        AND x.taken > s.admittime + INTERVAL 24 HOUR AND x.taken <= s.admittime + INTERVAL 72 HOUR
),

finding AS (  -- of a study that is listed twice, the first
    SELECT * EXCLUDE (subject_id, place)
    FROM (SELECT *, row_number() OVER () AS place FROM cxr_findings)
    QUALIFY row_number() OVER (PARTITION BY study_id ORDER BY place) = 1
),

xrays AS (
    SELECT
        hadm_id,
        list({
            cxr_path: format(
                'files/p{}/p{}/s{}/{}.jpg',
                left(CAST(subject_id AS VARCHAR), 2), subject_id, study_id, dicom_id
            ),
            cxr_h: cxr_h,
            cxr_view: ViewPosition,
            findings: f.study_id,
            atelectasis: "Atelectasis",
            cardiomegaly: "Cardiomegaly",
            consolidation: "Consolidation",
            edema: "Edema",
            enlarged_cardiomediastinum: "Enlarged Cardiomediastinum",
            fracture: "Fracture",
            lung_lesion: "Lung Lesion",
            lung_opacity: "Lung Opacity",
            -- blank, in a study that was labelled, means that something was found or may be there
            no_finding: CASE WHEN f.study_id IS NOT NULL THEN coalesce("No Finding", '0.0') END,
            pleural_effusion: "Pleural Effusion",
            pleural_other: "Pleural Other",
            pneumonia: "Pneumonia",
            pneumothorax: "Pneumothorax",
            support_devices: "Support Devices"
        } ORDER BY taken, place) AS cxr
    FROM frontal LEFT JOIN finding AS f USING (study_id)
    GROUP BY hadm_id
),

-- ECGs: one list per admission

ecg_record AS (
    SELECT subject_id, path, ecg_time, row_number() OVER () AS place FROM ecg_records
),

ecgs AS (
    SELECT
        s.hadm_id,
        list(
            { ecg_path: e.path, ecg_h: epoch(e.ecg_time - s.admittime) / 3600 }
            ORDER BY e.ecg_time, e.place
        ) AS ecg
    FROM stays AS s JOIN ecg_record AS e USING (subject_id)
    WHERE e.ecg_time BETWEEN s.admittime - INTERVAL 24 HOUR AND s.admittime + INTERVAL 24 HOUR
    GROUP BY s.hadm_id
),

-- Labs: the earliest value of each analyte

lab AS (
    SELECT subject_id, itemid, charttime, valuenum, row_number() OVER () AS place FROM labevents
),

lab_in_window AS (
    SELECT
        s.hadm_id, l.itemid, l.valuenum, l.charttime,
        -- seconds since the window began, and then the place in the file, in one number
        ((epoch_ms(l.charttime) - epoch_ms(s.admittime)) // 1000 + 86400) * 1000000000000 + l.place AS turn
    FROM lab AS l JOIN stays AS s USING (subject_id)
    WHERE l.valuenum IS NOT NULL
        AND l.itemid IN (
            50802, 50804, 50813, 50818, 50820, 50821, 50861, 50862, 50863, 50868, 50878, 50882, 50885,
            50893, 50902, 50910, 50912, 50931, 50934, 50947, 50960, 50970, 50971, 50983, 51006, 51133,
            51146, 51200, 51221, 51222, 51237, 51244, 51248, 51249, 51250, 51254, 51256, 51265, 51274,
            51275, 51277, 51279, 51301, 51678, 52069, 52073, 52074, 52075, 52135, 52172
        )
        AND l.charttime BETWEEN s.admittime - INTERVAL 24 HOUR AND s.admittime + INTERVAL 24 HOUR
),

earliest AS (
    SELECT hadm_id, itemid, arg_min(valuenum, turn) AS value, min(turn) AS turn
    FROM lab_in_window
    GROUP BY hadm_id, itemid
),

labs AS (
    SELECT
        hadm_id,
        max(turn // 1000000000000 - 86400) / 3600 AS labs_h,
        max(value) FILTER (itemid = 50802) AS lab_50802,
        max(value) FILTER (itemid = 50804) AS lab_50804,
        max(value) FILTER (itemid = 50813) AS lab_50813,
        max(value) FILTER (itemid = 50818) AS lab_50818,
        max(value) FILTER (itemid = 50820) AS lab_50820,
        max(value) FILTER (itemid = 50821) AS lab_50821,
        max(value) FILTER (itemid = 50861) AS lab_50861,
        max(value) FILTER (itemid = 50862) AS lab_50862,
        max(value) FILTER (itemid = 50863) AS lab_50863,
        max(value) FILTER (itemid = 50868) AS lab_50868,
        max(value) FILTER (itemid = 50878) AS lab_50878,
        max(value) FILTER (itemid = 50882) AS lab_50882,
        max(value) FILTER (itemid = 50885) AS lab_50885,
        max(value) FILTER (itemid = 50893) AS lab_50893,
        max(value) FILTER (itemid = 50902) AS lab_50902,
        max(value) FILTER (itemid = 50910) AS lab_50910,
        max(value) FILTER (itemid = 50912) AS lab_50912,
        max(value) FILTER (itemid = 50931) AS lab_50931,
        max(value) FILTER (itemid = 50934) AS lab_50934,
        max(value) FILTER (itemid = 50947) AS lab_50947,
        max(value) FILTER (itemid = 50960) AS lab_50960,
        max(value) FILTER (itemid = 50970) AS lab_50970,
        max(value) FILTER (itemid = 50971) AS lab_50971,
        max(value) FILTER (itemid = 50983) AS lab_50983,
        max(value) FILTER (itemid = 51006) AS lab_51006,
        max(value) FILTER (itemid = 51133) AS lab_51133,
        max(value) FILTER (itemid = 51146) AS lab_51146,
        max(value) FILTER (itemid = 51200) AS lab_51200,
        max(value) FILTER (itemid = 51221) AS lab_51221,
        max(value) FILTER (itemid = 51222) AS lab_51222,
        max(value) FILTER (itemid = 51237) AS lab_51237,
        max(value) FILTER (itemid = 51244) AS lab_51244,
        max(value) FILTER (itemid = 51248) AS lab_51248,
        max(value) FILTER (itemid = 51249) AS lab_51249,
        max(value) FILTER (itemid = 51250) AS lab_51250,
        max(value) FILTER (itemid = 51254) AS lab_51254,
        max(value) FILTER (itemid = 51256) AS lab_51256,
        max(value) FILTER (itemid = 51265) AS lab_51265,
        max(value) FILTER (itemid = 51274) AS lab_51274,
        max(value) FILTER (itemid = 51275) AS lab_51275,
        max(value) FILTER (itemid = 51277) AS lab_51277,
        max(value) FILTER (itemid = 51279) AS lab_51279,
        max(value) FILTER (itemid = 51301) AS lab_51301,
        max(value) FILTER (itemid = 51678) AS lab_51678,
        max(value) FILTER (itemid = 52069) AS lab_52069,
        max(value) FILTER (itemid = 52073) AS lab_52073,
        max(value) FILTER (itemid = 52074) AS lab_52074,
        max(value) FILTER (itemid = 52075) AS lab_52075,
        max(value) FILTER (itemid = 52135) AS lab_52135,
        max(value) FILTER (itemid = 52172) AS lab_52172
    FROM earliest
    GROUP BY hadm_id
),

-- Intensive care: the first time of each admission

icu AS (
    SELECT hadm_id, min(intime) AS first_intime FROM icustays GROUP BY hadm_id
)

SELECT
    s.subject_id,
    s.hadm_id,

    x.cxr,
    e.ecg,
    l.* EXCLUDE (hadm_id),

    -- outcomes, and the hours after admission at which each is known. After a death none is known, and
    -- who left alive but had died by then, by the date of death, is no survivor.
    CASE WHEN NOT s.after_death AND NOT s.contradictory THEN s.hospital_expire_flag END AS died,
    epoch(coalesce(s.deathtime, s.dischtime) - s.admittime) / 3600 AS died_known_h,

    CASE WHEN NOT s.after_death THEN s.dischtime > s.admittime + INTERVAL 168 HOUR END AS stayed_168h,
    least(epoch(s.dischtime - s.admittime) / 3600, 168) AS stayed_168h_known_h,

    CASE
        WHEN NOT s.after_death THEN coalesce(i.first_intime <= s.admittime + INTERVAL 48 HOUR, false)
    END AS icu_48h,
    least(epoch(coalesce(least(i.first_intime, s.dischtime), s.dischtime) - s.admittime) / 3600, 48)
        AS icu_48h_known_h,

    -- who they are
    coalesce(s.anchor_year_group, 'unrecorded') AS anchor_year_group,
    CASE s.gender WHEN 'F' THEN 'female' WHEN 'M' THEN 'male' END AS sex,
    CASE
        WHEN s.age < 40 THEN '18-39'
        WHEN s.age < 65 THEN '40-64'
        WHEN s.age < 80 THEN '65-79'
        WHEN s.age >= 80 THEN '80+'
    END AS age_band,
    CASE
        WHEN s.recorded_race LIKE 'WHITE%' OR s.recorded_race = 'PORTUGUESE' THEN 'white'
        WHEN s.recorded_race LIKE 'BLACK%' THEN 'black'
        WHEN s.recorded_race LIKE 'HISPANIC%' OR s.recorded_race = 'SOUTH AMERICAN' THEN 'hispanic'
        WHEN s.recorded_race LIKE 'ASIAN%' THEN 'asian'
        WHEN s.recorded_race IN ('UNKNOWN', 'UNABLE TO OBTAIN', 'PATIENT DECLINED TO ANSWER') THEN NULL
        WHEN s.recorded_race IS NOT NULL THEN 'other'
    END AS race,
    lower(s.insurance) AS insurance
FROM stays AS s
LEFT JOIN xrays AS x USING (hadm_id)
LEFT JOIN ecgs AS e USING (hadm_id)
LEFT JOIN labs AS l USING (hadm_id)
LEFT JOIN icu AS i USING (hadm_id)
