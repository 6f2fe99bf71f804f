"""Turn raw tables and recordings into the files of a store."""
