"""Stage report: figures, tables, one page and its numbers as JSON."""
