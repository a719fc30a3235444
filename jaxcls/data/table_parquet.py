"""Tables from .parquet files, whose columns have types."""

from pathlib import Path

from jaxcls.data.arrays import readable
from jaxcls.data.table_columns import Column, check_names, column_of

_LARGEST = 2**31  # bytes that the columns may take: 2 GiB


def read_parquet(path: Path) -> dict[str, Column]:
    """The columns of a .parquet file, by name.

    Raises:
        ValueError: it is no such file, or announces more than 2 GiB.
    """
    import pyarrow as pa
    from pyarrow import parquet

    with readable(f"{path}: as a .parquet file it"):
        # By itself pyarrow reads ahead in threads, which outlive what they read where it is damaged.
        content = pa.BufferReader(path.read_bytes())
        with parquet.ParquetFile(content, pre_buffer=False) as opened:
            about = opened.metadata
            groups = range(about.num_row_groups)
            size = sum(about.row_group(group).total_byte_size for group in groups)
            cells = about.num_rows * about.num_columns
            is_large = max(size, 8 * cells) > _LARGEST
            found = None if is_large else opened.read(use_threads=False)
        columns, names = {}, []
        if found is not None:
            names = [str(name).strip() for name in found.column_names]
            columns = {
                name: column_of(found.column(place)) for place, name in enumerate(names)
            }
    if found is None:
        raise ValueError(f"{path}: it announces more than the 2 GiB allowed.")
    check_names(path, names)
    return columns
