"""Look for leaks and implausible values in a prepared store."""
