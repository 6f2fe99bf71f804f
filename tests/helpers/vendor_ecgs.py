"""Writers of small ECG files of carts: SCP-ECG, HL7 aECG, MUSE and Philips XML.

Each writes whole counts by lead name, so that a test knows every value in the file. The structure
follows EN 1064 (SCP-ECG), ANSI/HL7 V3 ECG R1-2004 (aECG) and Philips' SierraECG 1.04.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

# Codes of leads in section 3 of SCP-ECG.
SCP_CODES = {
    **{"I": 1, "II": 2, **{f"V{n}": n + 2 for n in range(1, 7)}},
    **{"III": 61, "aVR": 62, "aVL": 63, "aVF": 64},
}


def scp(
    counts: Mapping[str, Sequence[int]],
    *,
    nanovolts: int = 4880,
    interval_us: int = 2000,
    differences: int = 0,
    huffman: bool = False,
    starts: Mapping[str, int] | None = None,
    wrong_crc: int | None = None,
) -> bytes:
    """An SCP-ECG record with sections 0, 1, 3 and 6, and 2 if it is Huffman coded.

    Args:
        counts: values of each lead.
        nanovolts: amplitude of one count.
        interval_us: time between two values.
        differences: 0 for amplitudes, 1 for first and 2 for second differences.
        huffman: code with the default Huffman table of the standard.
        starts: number of the first value of a lead; 1 where it is not given.
        wrong_crc: section whose checksum is wrong; -1 for that of the record.
    """
    leads = [
        struct.pack("<IIB", first, first + len(values) - 1, SCP_CODES[lead])
        for lead, values in counts.items()
        for first in [(starts or {}).get(lead, 1)]
    ]
    streams = [_scp_stream(values, differences, huffman) for values in counts.values()]
    sizes = struct.pack(f"<{len(streams)}H", *map(len, streams))
    flags = 4 | min(len(leads), 31) << 3  # recorded at the same time
    bodies = {1: b"\xff\0\0", 3: bytes([len(leads), flags]) + b"".join(leads)}
    if huffman:
        bodies[2] = struct.pack("<H", 19999)
    head = struct.pack("<HHBB", nanovolts, interval_us, differences, 0)
    bodies[6] = head + sizes + b"".join(streams)
    first = 6 + 16 + 12 * 10
    sections, pointers = b"", struct.pack("<HII", 0, 16 + 12 * 10, 7)
    for number in range(1, 12):
        if number not in bodies:
            pointers += struct.pack("<HII", number, 0, 0)
            continue
        section = _scp_section(number, bodies[number], wrong=number == wrong_crc)
        pointers += struct.pack("<HII", number, len(section), first + len(sections) + 1)
        sections += section
    content = _scp_section(0, pointers, wrong=wrong_crc == 0) + sections
    sized = struct.pack("<I", len(content) + 6) + content
    return struct.pack("<H", _crc(sized) ^ (wrong_crc == -1)) + sized


def _scp_section(number: int, body: bytes, *, wrong: bool) -> bytes:
    body += bytes(len(body) % 2)
    reserved = b"SCPECG" if number == 0 else bytes(6)
    checked = struct.pack("<HIBB", number, len(body) + 16, 20, 20) + reserved + body
    return struct.pack("<H", _crc(checked) ^ wrong) + checked


def _crc(data: bytes) -> int:
    return binascii.crc_hqx(data, 0xFFFF)


def _scp_stream(values: Sequence[int], differences: int, huffman: bool) -> bytes:
    coded = np.asarray(values, dtype=np.int64)
    if differences:
        changes = np.diff(coded, n=differences)
        coded = np.concatenate([coded[:differences], changes])
    if not huffman:
        return coded.astype("<i2").tobytes()
    bits = "".join(map(_huffman_code, coded.tolist()))
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _huffman_code(value: int) -> str:
    """The default table of EN 1064: one bit for 0, and escapes for 8 and 16 bits."""
    if abs(value) <= 8:
        return "1" * abs(value) + "0" + (str(int(value < 0)) if value else "")
    width = 8 if -128 <= value < 128 else 16
    return ("1111111110" if width == 8 else "1111111111") + f"{value % (1 << width):0{width}b}"


def aecg(
    counts: Mapping[str, Sequence[int]],
    *,
    scale: str = '<scale value="4.88" unit="uV"/>',
    origin_uv: float = 0,
    increment: str = '<increment value="0.002" unit="s"/>',
    prefix: str = "MDC_ECG_LEAD_",
) -> str:
    """An HL7 annotated ECG with one rhythm series.

    Args:
        counts: values of each lead.
        scale: the element with the amplitude of one count.
        origin_uv: voltage of count 0.
        increment: the element with the time between two values.
        prefix: of the codes of leads.
    """
    sequences = "".join(
        f'<component><sequence><code code="{prefix}{lead.upper()}"/><value xsi:type="SLIST_PQ">'
        f'<origin value="{origin_uv}" unit="uV"/>{scale}'
        f"<digits>{' '.join(map(str, values))}</digits></value></sequence></component>"
        for lead, values in counts.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" type="Observation">'
        '<id root="1.2.3"/><component><series><code code="RHYTHM"/><component><sequenceSet>'
        '<component><sequence><code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS">'
        f'<head value="20310113050000"/>{increment}</value></sequence></component>{sequences}'
        "</sequenceSet></component></series></component></AnnotatedECG>"
    )


def muse(
    counts: Mapping[str, Sequence[int]],
    *,
    wrong_checksum: bool = False,
    unit: str = "MICROVOLTS",
    before: str = "",
) -> str:
    """A MUSE export with one rhythm in steps of 4.88 microvolts.

    Args:
        counts: values of each lead.
        wrong_checksum: state another checksum of each lead.
        unit: unit of the amplitude.
        before: text before the first element.
    """
    leads = []
    for lead, values in counts.items():
        data = np.asarray(values).astype("<i2").tobytes()
        leads.append(
            f"<LeadData><LeadByteCountTotal>{len(data)}</LeadByteCountTotal>"
            f"<LeadSampleCountTotal>{len(data) // 2}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>4.88</LeadAmplitudeUnitsPerBit>"
            f"<LeadAmplitudeUnits>{unit}</LeadAmplitudeUnits><LeadID>{lead}</LeadID>"
            f"<LeadDataCRC32>{zlib.crc32(data) ^ wrong_checksum}</LeadDataCRC32>"
            f"<WaveFormData>{base64.b64encode(data).decode()}</WaveFormData></LeadData>"
        )
    return (
        f"<?xml version='1.0'?>{before}<RestingECG><Waveform><WaveformType>Rhythm</WaveformType>"
        f"<SampleBase>500</SampleBase><SampleExponent>0</SampleExponent>{''.join(leads)}"
        "</Waveform></RestingECG>"
    )


def philips(
    counts: Mapping[str, Sequence[int]],
    *,
    resolution: str = 'resolution="5"',
    rate: str = 'samplespersecond="500"',
    offset: int = 0,
    rate_hz: float = 500,
    compressed: bool = False,
) -> str:
    """A SierraECG 1.04 file of Philips.

    Args:
        counts: values of each lead.
        resolution: the attribute with the microvolts of one count.
        rate: the attribute with the sampling rate.
        offset: the count of 0 V.
        rate_hz: the sampling rate by which the duration is stated.
        compressed: compress by XLI, in which III, aVR, aVL and aVF are residuals.
    """
    arrays = {lead: np.asarray(values, dtype=np.int64) for lead, values in counts.items()}
    times = len(next(iter(arrays.values())))
    if compressed:
        data = b"".join(_xli_chunk(values) for values in _residuals(arrays).values())
    else:
        data = b"".join(values.astype("<i2").tobytes() for values in arrays.values())
    method = 'compression="XLI"' if compressed else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><restingecgdata '
        'xmlns="http://www3.medical.philips.com"><documentinfo>'
        "<documenttype>SierraECG</documenttype><documentversion>1.04</documentversion>"
        '</documentinfo><dataacquisition date="2031-01-13" time="05:00:00">'
        "<signalcharacteristics><acquisitiontype>STD-12</acquisitiontype>"
        f"<numberchannelsallocated>{len(arrays)}</numberchannelsallocated>"
        f"</signalcharacteristics></dataacquisition><waveforms><parsedwaveforms {resolution} {rate}"
        f' durationperchannel="{times * 1000 / rate_hz:g}" numberofleads="{len(arrays)}" '
        f'leadlabels="{" ".join(arrays)}" signaloffset="{offset}" signalsigned="True" '
        f'dataencoding="Base64" {method}>{base64.b64encode(data).decode()}</parsedwaveforms>'
        "</waveforms></restingecgdata>"
    )


def _residuals(leads: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    one, two, three = leads["I"], leads["II"], leads["III"]
    return {
        **leads,
        "III": two - one - three,
        "aVR": -leads["aVR"] - (one + two) // 2,
        "aVL": (one - three) // 2 - leads["aVL"],
        "aVF": (two + three) // 2 - leads["aVF"],
    }


def _xli_chunk(values: np.ndarray) -> bytes:
    """Second differences as high and then low bytes, in an LZW stream of literals."""
    bent = 2 * values[1:-1] - values[:-2] - values[2:]
    coded = np.concatenate([values[:2], bent[1:] + 64, [64]]).astype(np.int16).view(np.uint16)
    raw = bytes((coded >> 8).astype(np.uint8)) + bytes((coded & 255).astype(np.uint8))
    bits = "".join(f"{byte:010b}" for byte in raw)
    bits += "1" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return struct.pack("<ihh", len(packed), 0, int(bent[0])) + packed
