"""Display names and summaries in plain language."""
