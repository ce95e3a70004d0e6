"""Benchmarks DuckDB with its Delta extension: the repository's SQL files, with parameters as literals."""

import duckdb

import benchmark
from duckdb_reads import connect, quoted


def answers(lake, views, question, text):
    connection = connect()
    for name in benchmark.TABLES:
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM delta_scan({quoted(lake / name)})")
    for name, select in views.items():
        connection.execute(f"CREATE VIEW {name} AS\n{select}")
    # The session is in UTC, so times with and without a zone are equal.
    statement = benchmark.bound(text, "TIMESTAMPTZ")
    return f"DuckDB {duckdb.__version__}", lambda: connection.execute(statement).to_arrow_table()


if __name__ == "__main__":
    benchmark.main(answers)
