"""Reads a lake with DuckDB and prints its content as JSON.

    duckdb_reads.py LAKE SQL

LAKE: folder of the tables. SQL: the repository's sql folder.
"""

import json
import sys
from pathlib import Path

import duckdb
import duckdb_extension_delta

import reading


def connect():
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    package = Path(duckdb_extension_delta.__file__).parent
    extension = package / "extensions" / f"v{duckdb.__version__}" / "delta.duckdb_extension"
    connection.execute(f"LOAD {quoted(extension)}")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE MACRO sha2(x, n) AS sha256(x)")
    return connection


def quoted(value):
    return "'" + str(value).replace("'", "''") + "'"


def read(lake, sql):
    connection = connect()

    def count(select):
        return connection.execute(f"SELECT count(*) FROM (\n{select}\n)").fetchone()[0]

    tables = {}
    for name, folder in reading.tables(lake).items():
        connection.execute(f'CREATE VIEW "{name}" AS SELECT * FROM delta_scan({quoted(folder)})')
        tables[name] = reading.summary(connection.table(name).to_arrow_table())
    views = reading.create_views(sql, lambda name, select: connection.execute(f'CREATE VIEW "{name}" AS\n{select}'))
    return {
        "tables": tables,
        "audits": reading.audits(sql, count),
        "views": {name: count(f'SELECT * FROM "{name}"') for name in views},
    }


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: duckdb_reads.py LAKE SQL")
    print(json.dumps(read(*(Path(argument).resolve() for argument in sys.argv[1:]))))
