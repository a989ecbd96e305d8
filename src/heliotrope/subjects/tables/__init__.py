"""Tables as data: csv, tsv and parquet, streamed in record batches and never read whole; and frames in memory."""

from heliotrope.subjects.tables._frame import open_frame
from heliotrope.subjects.tables._reader import open_table

__all__ = ["open_frame", "open_table"]
