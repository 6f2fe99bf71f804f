"""The store of `tests.helpers.audited`, for each test anew."""

from tests.helpers.audited import made

__all__ = ["made"]
