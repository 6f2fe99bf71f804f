"""The names that definitions use: families, look-up, and what objects say of themselves."""
