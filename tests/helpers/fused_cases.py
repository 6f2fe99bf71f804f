"""What Symile's loss and its gradients are by the fused kernels and in tiles, written to a file.

Run as `fused_cases.py FILE`, with `TRITON_INTERPRET=1` where there is no GPU.
"""

import sys
from collections.abc import Iterator

import torch
from safetensors.torch import save_file
from torch import Tensor

from clinical_symile.objectives.kernels import triton as fused
from clinical_symile.objectives.symile import symile_loss

# Samples that fill no block, or more than one; the last scale is too large for one exponential.
SIZES = ((5, 3), (34, 33))
SCALES = (1.0, 80.0)


def cases() -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for n, d in SIZES:
        for scale in SCALES:
            z = torch.randn(n, 3, d, generator=generator)
            available = torch.rand(n, 3, generator=generator) < 0.8
            available[:2] = True
            s = torch.tensor(scale, device=device)
            yield f"{n}/{d}/{scale:g}", z.to(device), s, available.to(device)


def main() -> None:
    fused.SLICE_LOGITS = 5000  # several slices, the last of them smaller
    found = {}
    for name, z, scale, available in cases():
        for kernel in ("fused", "tiles"):
            of = z.clone().requires_grad_(), scale.clone().requires_grad_()
            loss = symile_loss(*of, available=available, kernel=kernel)
            gradients = torch.autograd.grad(loss, of, retain_graph=True)
            again = torch.autograd.grad(loss, of)
            assert all(torch.equal(a, b) for a, b in zip(gradients, again, strict=True))
            for what, value in zip(("loss", "z", "scale"), (loss, *gradients), strict=True):
                found[f"{name}/{what}/{kernel}"] = value.detach().cpu().clone()
    save_file(found, sys.argv[1])


if __name__ == "__main__":
    main()
