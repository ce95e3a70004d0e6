"""The common part of the engines that read a lake: checksums of tables, and the SQL files."""

import hashlib
import struct

import pyarrow as pa


def tables(lake):
    """Returns name and folder of every Delta table in the lake."""
    found = {folder.name: folder for folder in sorted(lake.iterdir()) if (folder / "_delta_log").is_dir()}
    if not found:
        raise RuntimeError(f"{lake} has no Delta tables")
    return found


def summary(table):
    """Returns the number of rows and the digest of an Arrow table."""
    return {"rows": table.num_rows, "digest": digest(table)}


def digest(table):
    """Returns a hash that does not depend on the order of the rows.

    A row's text is its values in column order, joined by U+001F: null is U+2400, text as it is, integers in decimal,
    true or false, timestamps as microseconds since 1970, dates as 2026-02-16, doubles as the 16 hex digits of their IEEE
    754 bits. The first 8 bytes of each text's SHA-256, as big-endian numbers, are added modulo 2^64; the sum is printed
    as 16 hex digits.
    """
    total = 0
    for batch in table.to_batches(max_chunksize=8192):
        for row in zip(*(cells(column) for column in batch.columns)):
            text = "\u001f".join(row).encode()
            total += int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
    return f"{total % 2**64:016x}"


def cells(column):
    """Returns a column's values as text."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        values = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64()).to_pylist()
    elif pa.types.is_float64(kind):
        values = [None if value is None else struct.pack(">d", value).hex() for value in column.to_pylist()]
    elif pa.types.is_boolean(kind):
        values = [None if value is None else str(value).lower() for value in column.to_pylist()]
    elif pa.types.is_date32(kind):
        values = [None if value is None else value.isoformat() for value in column.to_pylist()]
    elif pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = column.to_pylist()
    else:
        raise TypeError(f"no digest is defined for columns of type {kind}")
    return ["\u2400" if value is None else str(value) for value in values]


def create_views(sql, create):
    """Calls create(name, select) for every view in the order of their dependencies. Returns the names."""
    waiting = {file.stem: file.read_text(encoding="utf-8") for file in sorted((sql / "views").glob("*.sql"))}
    created = []
    while waiting:
        errors = {}
        for name, select in waiting.items():
            try:
                create(name, select)
                created.append(name)
            except Exception as error:
                errors[name] = error
        if len(errors) == len(waiting):
            raise RuntimeError("\n".join(f"view {name}: {error}" for name, error in errors.items()))
        waiting = {name: waiting[name] for name in errors}
    return sorted(created)


def audits(sql, count):
    """Returns the number of rows of each audit by file name."""
    found = {}
    for file in sorted((sql / "audits").glob("*.sql")):
        try:
            found[file.name] = count(file.read_text(encoding="utf-8"))
        except Exception as error:
            raise RuntimeError(f"audit {file.name}: {error}") from error
    return found
