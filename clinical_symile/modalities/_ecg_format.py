"""The form of every stored ECG: its leads, sampling rate and duration."""

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SAMPLING_RATE_HZ = 500
DURATION_S = 10
