"""Writers of DICOM images, plain and compressed, and of DICOM waveforms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    TwelveLeadECGWaveformStorage,
    generate_uid,
)

from tests.helpers.recordings import LEADS

GDCM = {
    JPEGLosslessSV1: "JPEGLosslessProcess14_1",
    JPEGLSLossless: "JPEGLSLossless",
    JPEG2000Lossless: "JPEG2000Lossless",
}


def compress(file: Path, pixels: np.ndarray, syntax: UID) -> None:
    """A DICOM in a compressed transfer syntax, made by the library that comes with us."""
    write_dicom(file, pixels)
    if syntax == RLELossless:
        dataset = dcmread(file)
        dataset.compress(RLELossless)
        dataset.save_as(file)
        return
    reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
    reader.SetFileName(str(file))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, GDCM[syntax])))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(file))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def write_dicom(file: Path, pixels: np.ndarray, **tags: object) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(file), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = pixels.tobytes()
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    dataset.save_as(file, enforce_file_format=True)


def write_dicom_ecg(
    file: Path, millivolts: np.ndarray, *, names: Sequence[str] = LEADS, **tags: Any
) -> None:
    """A DICOM waveform: a rhythm in units of 5 µV, and averaged beats before it."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = TwelveLeadECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    dataset = FileDataset(str(file), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Modality = "ECG"
    groups = [_group(millivolts[:300] * 0 + 1, names, tags), _group(millivolts, names, tags)]
    dataset.WaveformSequence = groups
    dataset.save_as(file, enforce_file_format=True)


def _group(millivolts: np.ndarray, names: Sequence[str], tags: dict[str, Any]) -> Dataset:
    group = Dataset()
    group.NumberOfWaveformChannels = millivolts.shape[1]
    group.NumberOfWaveformSamples = millivolts.shape[0]
    group.SamplingFrequency = 500
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformPaddingValue = np.int16(-32768).tobytes()
    counts = np.nan_to_num(np.rint(millivolts * 200), nan=-32768).astype("<i2")
    group.WaveformData = counts.tobytes()
    group.ChannelDefinitionSequence = [_channel(name, tags) for name in names]
    return group


def _channel(name: str, tags: dict[str, Any]) -> Dataset:
    source, unit, channel = Dataset(), Dataset(), Dataset()
    source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = name, "MDC", name
    if name.startswith("5.6.3-9-"):
        source.CodingSchemeDesignator, source.CodeMeaning = "SCPECG", "?"
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "uV", "UCUM", "microvolt"
    channel.ChannelSourceSequence = [source]
    channel.WaveformBitsStored = 16
    if tags.get("sensitivity", True):
        channel.ChannelSensitivity = "5"
        channel.ChannelSensitivityCorrectionFactor = "1"
        channel.ChannelBaseline = "0"
        channel.ChannelSensitivityUnitsSequence = [unit]
    return channel
