"""Triton kernels of `triton`, over a slice of the cube: some w_o with all x_i and all y_j.

Matrices are float32 and contiguous, with `dim` columns; a slice is [outer, rows, columns]. Each
program computes a block of its result and writes it once. Values beyond an edge are read as zero.
"""

# Triton compiles these functions; it accepts neither annotations nor type checks.
import triton
import triton.language as tl

BLOCK = 32


@triton.jit
def _read(matrix, rows, columns, height, width):
    """Read a block of a matrix, zero beyond its edges."""
    inside = (rows[:, None] < height) & (columns[None, :] < width)
    return tl.load(matrix + rows[:, None] * width + columns[None, :], mask=inside, other=0.0)


@triton.jit
def weights_kernel(
    x, y, w, of_x, of_y, of_w, reference, out, rows, columns, dim,
    block: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Compute exp(T - c) · (of_w[o] + of_x[i] + of_y[j]), in programs [outer, rows, columns]."""
    o = tl.program_id(0)
    i = tl.program_id(1) * block + tl.arange(0, block)
    j = tl.program_id(2) * block + tl.arange(0, block)
    logits = tl.zeros((block, block), dtype=tl.float32)
    for start in range(0, dim, block):
        d = start + tl.arange(0, block)
        a = _read(x, i, d, rows, dim) * tl.load(w + o * dim + d, mask=d < dim, other=0.0)[None, :]
        logits += tl.dot(a, tl.trans(_read(y, j, d, columns, dim)), input_precision=precision)
    factor = tl.load(of_x + i, mask=i < rows, other=0.0)[:, None]
    factor += tl.load(of_y + j, mask=j < columns, other=0.0)[None, :]
    found = tl.exp(logits - tl.load(reference)) * (factor + tl.load(of_w + o))
    inside = (i[:, None] < rows) & (j[None, :] < columns)
    tl.store(out + (o * rows + i[:, None]) * columns + j[None, :], found, mask=inside)


@triton.jit
def left_gradient_kernel(
    slices, x, y, w, into, of_w, outer, rows, columns, dim,
    block: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Add Σ_o w_o ⊙ G_oi to ∂x_i and set of_w = Σ_i x_i ⊙ G_oi, G = W y, in programs [rows, dim].

    A program sums over its own i, so that of_w is [programs of rows, outer, dim].
    """
    part = tl.program_id(0)
    i = part * block + tl.arange(0, block)
    d = tl.program_id(1) * block + tl.arange(0, block)
    own = _read(x, i, d, rows, dim)
    total = tl.zeros((block, block), dtype=tl.float32)
    for o in range(outer):
        of_product = tl.zeros((block, block), dtype=tl.float32)
        for start in range(0, columns, block):
            j = start + tl.arange(0, block)
            of_logits = _read(slices + o * rows * columns, i, j, rows, columns)
            of_product += tl.dot(of_logits, _read(y, j, d, columns, dim), input_precision=precision)
        total += of_product * tl.load(w + o * dim + d, mask=d < dim, other=0.0)[None, :]
        place = of_w + (part * outer + o) * dim + d
        tl.store(place, tl.sum(of_product * own, axis=0), mask=d < dim)
    inside = (i[:, None] < rows) & (d[None, :] < dim)
    place = into + i[:, None] * dim + d[None, :]
    tl.store(place, tl.load(place, mask=inside, other=0.0) + total, mask=inside)


@triton.jit
def right_gradient_kernel(
    slices, x, w, into, outer, rows, columns, dim,
    block: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Add Σ_o Σ_i W_oij (x_i ⊙ w_o) to ∂y_j, in programs [columns, dim]."""
    j = tl.program_id(0) * block + tl.arange(0, block)
    d = tl.program_id(1) * block + tl.arange(0, block)
    total = tl.zeros((block, block), dtype=tl.float32)
    for o in range(outer):
        of_outer = tl.load(w + o * dim + d, mask=d < dim, other=0.0)[None, :]
        for start in range(0, rows, block):
            i = start + tl.arange(0, block)
            of_logits = _read(slices + o * rows * columns, i, j, rows, columns)
            a = _read(x, i, d, rows, dim) * of_outer
            total += tl.dot(tl.trans(of_logits), a, input_precision=precision)
    inside = (j[:, None] < columns) & (d[None, :] < dim)
    place = into + j[:, None] * dim + d[None, :]
    tl.store(place, tl.load(place, mask=inside, other=0.0) + total, mask=inside)
