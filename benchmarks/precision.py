"""What `matmul = "high"` and `"medium"` cost in exactness: loss and gradients against float64.

On a CPU TensorFloat32 is not to be had and bfloat16 may be, so that both are emulated here: the
operands of every matrix product are rounded to their 10 or 7 bits of mantissa, and products are
summed in float32, as a GPU does. "highest" is float32 as it is.

Run with `python benchmarks/precision.py`; the table is kept in `benchmarks/results/precision.md`.
"""

import argparse
import math
import platform
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.symile import symile_loss

# Bits of mantissa that are stored, of float32's 23.
BITS = {"highest": 23, "high": 10, "medium": 7}
CASES = ((64, 128), (256, 128), (128, 1024), (64, 8192))
LOGITS = (1.0, 10.0, 100.0)
# The positions of the two operands among the arguments of each matrix product.
OPERANDS = {"mm": (0, 1), "addmm": (1, 2), "addmm_": (1, 2)}
HEAD = (
    "| objective | n | d | largest logit | `matmul` | loss | its error | error of the embeddings' "
    "gradient | of the scale's |\n|---|--:|--:|--:|---|--:|--:|--:|--:|\n"
)


def rounded(values: Tensor, bits: int) -> Tensor:
    """Round to a number of mantissa bits, ties to even."""
    dropped = 23 - bits
    raw = values.contiguous().view(torch.int32)
    half = (1 << (dropped - 1)) - 1 + ((raw >> dropped) & 1)
    return (((raw + half) >> dropped) << dropped).view(torch.float32)


class RoundedProducts(TorchDispatchMode):
    """Every matrix product has its operands rounded."""

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits
        self.products = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        places = OPERANDS.get(func.overloadpacket.__name__, ())
        self.products += bool(places)
        changed = [rounded(x, self.bits) if k in places else x for k, x in enumerate(args)]
        return func(*changed, **(kwargs or {}))


def vectors(n: int, d: int, modalities: int) -> Tensor:
    """Unit vectors of a model half trained.

    A sample's own combination scores about as high as the best of the wrong ones, which with random
    vectors is √(2 log n^(M-1)) standard deviations.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(n, modalities, d, generator=generator, dtype=torch.float64)
    *others, noise = functional.normalize(drawn, dim=2).unbind(dim=1)
    right = functional.normalize(reduce(torch.mul, others), dim=1)
    cosine = math.sqrt(2 * (modalities - 1) * math.log(n) / d)
    last = functional.normalize(cosine * right + math.sqrt(1 - cosine**2) * noise, dim=1)
    return torch.stack([*others, last], dim=1)


def found(loss_of: Any, z: Tensor, scale: float, matmul: str) -> tuple[float, Tensor]:
    """The loss, and all gradients in a row."""
    z = z.clone().requires_grad_()
    factor = torch.tensor(scale, dtype=z.dtype, requires_grad=True)
    emulated = z.dtype == torch.float32 and BITS[matmul] < 23
    with RoundedProducts(BITS[matmul]) if emulated else nullcontext() as mode:
        loss = loss_of(z, factor)
        gradients = torch.autograd.grad(loss, [z, factor])
    assert mode is None or mode.products > 1
    return loss.item(), torch.cat([g.flatten().double() for g in gradients])


def compare(name: str, n: int, d: int, largest: float) -> list[str]:
    loss_of, modalities = {"Symile": (symile_loss, 3), "CLIP": (clip_loss, 2)}[name]
    z = vectors(n, d, modalities)
    axes = "ad,bd,cd->abc" if modalities == 3 else "ad,bd->ab"
    scale = largest / torch.einsum(axes, *z.unbind(dim=1)).abs().max().item()
    exact, gradients = found(loss_of, z, scale, "highest")
    lines = []
    for matmul in BITS:
        loss, actual = found(loss_of, z.float(), scale, matmul)
        of_embeddings, of_scale = (
            ((actual[part] - gradients[part]).norm() / gradients[part].norm()).item()
            for part in (slice(-1), slice(-1, None))
        )
        cells = [name, n, d, f"{largest:g}", f"`{matmul}`", f"{exact:.3g}"]
        cells += [f"{error:.1e}" for error in (abs(loss - exact), of_embeddings, of_scale)]
        lines.append(f"| {' | '.join(map(str, cells))} |\n")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--largest", type=int, default=8192, help="largest d")
    options = parser.parse_args()
    lines = []
    for name in ("Symile", "CLIP"):
        for n, d in CASES:
            if d > options.largest:
                continue
            for largest in LOGITS:
                lines += compare(name, n, d, largest)
                print("".join(lines[-len(BITS) :]), end="", flush=True)
    text = [
        "Emulated on a CPU. Operands of every matrix product are rounded to the mantissa of\n"
        "TensorFloat32 (`high`, 10 bits) or bfloat16 (`medium`, 7 bits), products summed in\n"
        "float32; `highest` is float32. The scale is such that the largest logit is what the\n"
        "table says. A sample's own combination scores about as high as the best wrong one. The\n"
        "error of the loss is in nats, that of a gradient is the norm of its difference to\n"
        "float64's over the norm of that. Symile of three modalities with all negatives, CLIP of\n"
        "two. Made by "
        f"`python benchmarks/precision.py` on {platform.machine()}, PyTorch {torch.__version__}."
        "\n\n",
        HEAD,
        *lines,
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "precision.md").write_text("".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
