"""Tables as data: csv, tsv and parquet, streamed in record batches and never read whole."""

from heliotrope.subjects.tables._reader import open_table

__all__ = ["open_table"]
