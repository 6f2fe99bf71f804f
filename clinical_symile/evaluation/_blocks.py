"""Split queries and candidates into blocks, so that never all pairs are in memory at once."""

_QUERIES_PER_BLOCK, _CANDIDATES_PER_BLOCK = 256, 4096


def query_blocks(count: int) -> list[slice]:
    """Return slices that cover `count` queries."""
    return _blocks(count, _QUERIES_PER_BLOCK)


def candidate_blocks(count: int) -> list[slice]:
    """Return slices that cover `count` candidates."""
    return _blocks(count, _CANDIDATES_PER_BLOCK)


def _blocks(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]
