"""Find damage in image files that decoders pass over: holes, tails of zeros, wrong checksums."""

import re
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped
from PIL import Image

from clinical_symile.modalities.base import Rejected, decoder_verdict, is_file_error

# Shorter runs of zero bytes occur in whole files; a lost block of a disk has 512 bytes or more.
_ZERO_RUN_BYTES = 256
_HOLE_PIXELS = 128  # the shortest run of zeros that may be a hole
_EDGE_SHARE = 0.9  # share of the pixels beside a hole that are not zero

_END_OF_IMAGE = b"\xff\xd9"  # the last marker of JPEG, JPEG-LS and JPEG 2000
_PNG_BEGINS = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"  # the last chunk of a PNG, with its checksum
_START_OF_SCAN = 0xDA
_JPEG_2000_BEGINS = b"\xff\x4f\xff\x51"
# Markers of JPEG and JPEG-LS that state the shape.
_FRAME_HEADERS = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_FRAME_HEADERS += (0xF7,)
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))  # markers of JPEG that have no length
# Warnings of libjpeg that speak of lost or wrong image data.
_DAMAGE = re.compile(r"corrupt|premature|inconsistent progression", re.IGNORECASE)


def decode_jpeg(
    data: bytes, mode: str, *, least_px: int = 0
) -> Shaped[np.ndarray, "h w *channel"] | None:
    """Decode a JPEG; count a warning of libjpeg about its data as an error.

    Args:
        data: the file.
        mode: Pillow's mode of the result: L, RGB or CMYK.
        least_px: decode at the smallest size whose edges have as many pixels; 0 for the whole size.

    Returns:
        The pixels, at the whole size equal to those of Pillow; None for a kind of JPEG or a mode
        that only Pillow decodes.

    Raises:
        Rejected: `damaged`, or `truncated` if the end of the file is missing.
    """
    from simplejpeg import decode_jpeg as decode  # here: a cohort of DICOMs may not need it

    spaces = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
    if mode not in spaces:
        return None
    least = {"min_height": least_px, "min_width": least_px}
    try:
        pixels = decode(data, colorspace=spaces[mode], strict=True, **least)
    except ValueError as error:
        if not _DAMAGE.search(str(error)):
            return None
        raise _jpeg_verdict(data, str(error)) from None
    return pixels[..., 0] if mode == "L" else pixels


def check_jpeg(data: bytes) -> None:
    """Refuse a JPEG whose data is damaged.

    Raises:
        Rejected: `damaged` or `truncated`.
    """
    for mode in ("L", "RGB"):  # a JPEG of three colours without transform has no grey
        if decode_jpeg(data, mode) is not None:
            return


def _jpeg_verdict(data: bytes, warning: str) -> Rejected:
    if not data.rstrip(b"\0").endswith(_END_OF_IMAGE):
        return Rejected("truncated", "the end of the JPEG is missing")
    return Rejected("damaged", f"libjpeg: {warning[:80]}")


def check_code_stream(data: bytes) -> None:
    """Refuse a JPEG-LS, lossless JPEG or JPEG 2000 code stream without its last marker.

    Raises:
        Rejected: `truncated`.
    """
    if not data.rstrip(b"\0").endswith(_END_OF_IMAGE):
        raise Rejected("truncated", "the end of the compressed image is missing")


def check_stated_shape(data: bytes, shape: tuple[int, int, int]) -> None:
    """Refuse a compressed image that states another shape than its DICOM, before it is decoded.

    Args:
        data: JPEG, JPEG-LS or JPEG 2000.
        shape: width, height and number of channels that the DICOM states.

    Raises:
        Rejected: `damaged`.
    """
    stated = _jpeg_2000_shape(data) or _jpeg_shape(data)
    if stated is not None and stated != shape:
        raise Rejected("damaged", "the compressed image states another shape than its DICOM")


def _jpeg_2000_shape(data: bytes) -> tuple[int, int, int] | None:
    """Return width, height and channels of the image-size marker (ISO/IEC 15444-1, A.5.1)."""
    start = data.find(_JPEG_2000_BEGINS)
    if start < 0 or len(data) < start + 42:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (channels,) = struct.unpack_from(">H", data, start + 40)
    return right - left, bottom - top, channels


def _jpeg_shape(data: bytes) -> tuple[int, int, int] | None:
    """Return width, height and channels of the frame header (ISO/IEC 10918-1, B.2.2)."""
    place = 2
    while data[:2] == b"\xff\xd8" and place + 10 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAME_HEADERS:
            height, width, channels = struct.unpack_from(">HHB", data, place + 5)
            return width, height, channels
        if marker in _WITHOUT_LENGTH or marker == 0xFF:
            place += 1 if marker == 0xFF else 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


def check_png(file: Path) -> None:
    """Refuse a PNG with a wrong checksum, or without its last chunk.

    Raises:
        Rejected: `damaged` or `truncated`.
    """
    data = file.read_bytes()
    if data.rfind(_PNG_END) < 0:
        raise Rejected("truncated", "the end of the PNG is missing")
    if _has_sound_chunks(data):
        return
    try:
        with Image.open(file) as opened:
            opened.verify()
    except Exception as error:  # whatever a broken file makes Pillow raise
        if is_file_error(error):
            raise
        if "truncated" in str(error).lower():
            raise Rejected("truncated", "the end of the PNG is missing") from None
        if isinstance(error, SyntaxError):
            raise Rejected("damaged", "the PNG's checksums do not hold") from None
        raise decoder_verdict("Pillow", error) from None


def _has_sound_chunks(data: bytes) -> bool:
    """Return True if every chunk, up to the last one, has its checksum (ISO/IEC 15948, 5.3)."""
    view, place = memoryview(data), len(_PNG_BEGINS)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind, end = data[place + 4 : place + 8], place + 8 + length
        if not kind.isalpha() or end + 4 > len(data):
            return False
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        if kind == b"IEND":
            return True
        place = end + 4
    return False


def has_zero_run(data: bytes) -> bool:
    """Return True if compressed image data holds a run of zero bytes as long as a lost block.

    The zeros after the last byte that is not zero do not count, nor does what precedes the first
    scan of a JPEG.
    """
    if not _may_have_run(np.frombuffer(data, dtype=np.uint8), 0, _ZERO_RUN_BYTES):
        return False
    return bytes(_ZERO_RUN_BYTES) in data.rstrip(b"\0")[_first_scan(data) :]


def _may_have_run(values: Shaped[np.ndarray, " place"], level: int, length: int) -> bool:
    """Return False if no run of a level is as long, by a look at four places of each such run."""
    some = values[:: length // 4] == level
    return bool((some[:-3] & some[1:-2] & some[2:-1] & some[3:]).any())


def _first_scan(data: bytes) -> int:
    """Return the position of a JPEG's first scan; 0 for anything else."""
    place = 2
    while data[:2] == b"\xff\xd8" and place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _START_OF_SCAN:
            return place
        if marker in _WITHOUT_LENGTH or marker == 0xFF:
            place += 1 if marker == 0xFF else 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 0


def has_hole(raw: Shaped[np.ndarray, "h w"], level: int = 0) -> bool:
    """Return True if uncompressed pixels hold a run of zeros that ignores what the image shows.

    A lost block of a file begins and ends anywhere in a row: the pixels above its beginning and
    below its end are not zero. Black borders and boxes have zeros above or below.

    Args:
        raw: pixels as they stand in the file, row by row.
        level: the value that zero bytes give.
    """
    if not _may_have_run(raw.ravel(), level, _HOLE_PIXELS):
        return False
    width, bright = raw.shape[1], (raw != level).ravel()
    padded = np.concatenate([[True], bright, [True]])
    edges = np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2)
    for begin, end in edges[np.diff(edges, axis=1)[:, 0] >= _HOLE_PIXELS].tolist():
        length = min(end - begin, width)
        begun = _is_bright(bright, begin - width, length, width - begin % width)
        last = (end - 1) % width + 1
        ended = end < len(bright) and _is_bright(
            bright[::-1], len(bright) - end - width, length, last
        )
        to_the_end = end == len(bright) and begin % width
        from_the_start = begin == 0 and end % width
        if (begun and (ended or to_the_end)) or (ended and from_the_start):
            return True
    return False


def _is_bright(bright: Bool[np.ndarray, " pixel"], first: int, length: int, piece: int) -> bool:
    """Return True if the pixels beside a run are bright, also those of its first row alone."""
    if first < 0:
        return False
    beside = bright[first : first + length]
    return bool(min(beside.mean(), beside[:piece].mean()) >= _EDGE_SHARE)
