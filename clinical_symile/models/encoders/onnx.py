"""Encoders that were exported as ONNX; they are frozen, and run by onnxruntime on the CPU."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.errors import DefinitionError
from clinical_symile.models.encoders._gray_image import GrayImage
from clinical_symile.models.encoders.weights import (
    WeightSource,
    as_buffer,
    check_weights,
    from_buffer,
)

_GRAPH = "graph"
_STORED_RATE_HZ = 500


class Onnx(nn.Module):
    """Any exported network, frozen, with a linear layer on its output of one vector a sample.

    The graph reads one input: images `[sample, channel, h, w]`, signals `[sample, lead, time]` or
    vectors. A run keeps the graph with its weights.

    Args:
        shape: the shape of one input, as the store has it.
        dim: width of the output.
        weights: the `.onnx` file, complete in itself.
        output: the name of the output to read; by default the first.
        mean: for images: of gray levels from 0 to 1 in each channel.
        sd: for images: the same.
        size_px: for images: height and width, where the graph leaves them open.
        sampling_rate_hz: for signals: they are averaged down to this rate, a divisor of 500.
        sd_mv: for signals: the divisor of each lead in the store, so that the graph reads
            millivolts; `[]` if it reads leads that were divided.

    Raises:
        ValueError: the graph's input or output does not fit, or an argument is of another kind of
            input.
        DefinitionError: the file is missing, or onnxruntime cannot load it.
    """

    display_name = "ONNX"
    description = "Any encoder that was exported as ONNX, frozen; onnxruntime runs it on the CPU."
    source = "https://onnx.ai"
    needs = ("the extra onnx",)
    is_frozen = True

    graph: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        dim: int,
        *,
        weights: WeightSource,
        output: str | None = None,
        mean: Sequence[float] = (),
        sd: Sequence[float] = (),
        size_px: int | None = None,
        sampling_rate_hz: int = _STORED_RATE_HZ,
        sd_mv: Sequence[float] = (),
    ):
        super().__init__()
        if isinstance(weights, Mapping):
            content = from_buffer(weights[_GRAPH])
        else:
            check_weights(Path(weights), None)
            content = Path(weights).read_bytes()
        self.register_buffer(_GRAPH, as_buffer(content))
        self._graph = _Session(content)
        self.output = self._graph.output(output)
        expected = self._graph.input_shape
        self.prepare = _preparation(shape, expected, mean, sd, size_px, sampling_rate_hz, sd_mv)
        self.head = nn.Linear(self._width(shape), dim)

    def _width(self, shape: tuple[int, ...]) -> int:
        """Run the graph once; return the width of its output.

        Raises:
            ValueError: it does not accept the inputs, or gives no vector for a sample.
        """
        found = self._run(torch.zeros(1, *shape))
        if found.ndim != 2 or found.dtype != torch.float32:
            raise ValueError(
                f"output '{self.output}' has the shape {list(found.shape)} for one sample; "
                f"expected [1, width] of float32. Name another in 'output': "
                f"{', '.join(self._graph.outputs)}."
            )
        return found.shape[1]

    def forward(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample dim"]:
        """Encode a batch; no gradient reaches the graph."""
        return self.head(self._run(inputs).to(inputs.device, inputs.dtype))

    @torch.no_grad()
    def _run(self, inputs: Tensor) -> Tensor:
        ready = self.prepare(inputs.float()).cpu().numpy()
        return torch.from_numpy(self._graph.run(ready, self.output))


class _Session:
    """A loaded graph. Copies of an encoder share it, since it never changes."""

    def __init__(self, content: bytes):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self.session: Any = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own errors share no class
            raise DefinitionError(
                "weights: onnxruntime cannot load the graph "
                f"({type(error).__name__}); expected a complete .onnx without external data, of "
                "operators that this version knows. Export it again.",
                code="CS-M029",
            ) from error
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            raise DefinitionError(
                f"weights: the graph reads {len(inputs)} inputs "
                f"({', '.join(f'{one.name}: {one.type}' for one in inputs)}); expected one of "
                "float32. Export the encoder alone.",
                code="CS-M029",
            )
        self.name = inputs[0].name
        self.input_shape: tuple[Any, ...] = tuple(inputs[0].shape)
        self.outputs = [one.name for one in self.session.get_outputs()]

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Session":
        return self

    def output(self, name: str | None) -> str:
        """Return the name of the output to read.

        Raises:
            ValueError: there is no such output.
        """
        if name is not None and name not in self.outputs:
            raise ValueError(f"output is '{name}'; expected one of {', '.join(self.outputs)}.")
        return name or self.outputs[0]

    def run(self, inputs: np.ndarray, output: str) -> np.ndarray:
        """Run the graph, sample by sample if it was exported for one.

        Raises:
            ValueError: the graph does not accept the inputs.
        """
        one_by_one = self.input_shape[:1] == (1,)
        parts = np.split(inputs, len(inputs)) if one_by_one and len(inputs) > 1 else [inputs]
        try:
            return np.concatenate([self.session.run([output], {self.name: p})[0] for p in parts])
        except Exception as error:  # onnxruntime's own errors share no class
            raise ValueError(
                f"the graph reads {list(self.input_shape)} and does not accept inputs of shape "
                f"{list(inputs.shape)} ({type(error).__name__}). Export it with an open number of "
                "samples, or correct the encoder's arguments."
            ) from error


class _Signal(nn.Module):
    """Restore millivolts, and average down to a sampling rate."""

    sd: Tensor

    def __init__(self, leads: int, sampling_rate_hz: int, sd_mv: Sequence[float]):
        if sampling_rate_hz < 1 or _STORED_RATE_HZ % sampling_rate_hz:
            raise ValueError(
                f"sampling_rate_hz is {sampling_rate_hz}; expected a divisor of {_STORED_RATE_HZ}, "
                "the rate at which ECGs are stored."
            )
        if len(sd_mv) not in (0, leads):
            raise ValueError(f"{len(sd_mv)} sd_mv; expected one for each of {leads} leads, or [].")
        super().__init__()
        self.step = _STORED_RATE_HZ // sampling_rate_hz
        self.register_buffer("sd", torch.tensor([*sd_mv] or [1.0] * leads)[:, None], False)

    def forward(self, signal: Float[Tensor, "sample lead time"]) -> Float[Tensor, "sample lead _"]:
        return functional.avg_pool1d(signal * self.sd, self.step)


def _preparation(
    shape: tuple[int, ...],
    expected: tuple[Any, ...],
    mean: Sequence[float],
    sd: Sequence[float],
    size_px: int | None,
    sampling_rate_hz: int,
    sd_mv: Sequence[float],
) -> nn.Module:
    """Return what brings one kind of input to the graph's form.

    Raises:
        ValueError: an argument is of another kind of input, or one is missing.
    """
    is_image, is_signal = len(shape) == 3, len(shape) == 2 and len(expected) == 3
    of_images = {"mean": mean, "sd": sd, "size_px": size_px}
    of_signals = {"sd_mv": sd_mv, "sampling_rate_hz": sampling_rate_hz != _STORED_RATE_HZ}
    unused = [name for name, value in of_images.items() if value and not is_image]
    unused += [name for name, value in of_signals.items() if value and not is_signal]
    if unused:
        raise ValueError(
            f"{', '.join(unused)}: not for inputs of shape {list(shape)}. Leave them out."
        )
    if is_signal:
        return _Signal(shape[0], sampling_rate_hz, sd_mv)
    if not is_image:
        return nn.Flatten() if len(expected) == 2 else nn.Identity()
    if not mean:
        raise ValueError(
            "mean and sd are missing; expected those that the network was trained with, of gray "
            "levels from 0 to 1, one for each channel. mean = [0.0] and sd = [1.0] change nothing."
        )
    size = expected[-1] if isinstance(expected[-1], int) else size_px
    if not isinstance(size, int):
        raise ValueError("size_px is missing; the graph leaves height and width open. Add it.")
    if size_px not in (None, size):
        raise ValueError(f"size_px is {size_px}; expected {size}, which the graph reads.")
    return GrayImage(size, mean, sd, "bilinear")
