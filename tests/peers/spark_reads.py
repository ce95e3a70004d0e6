"""Reads a lake with Spark."""

from pathlib import Path

import reading
import spark_cases


def opened(session, lake):
    """Returns a DataFrame for each table by name. Also creates a view of that name."""
    found = {}
    for name, folder in reading.tables(Path(lake)).items():
        found[name] = session.read.format("delta").load(str(folder))
        found[name].createOrReplaceTempView(name)
    return found


def create_views(session, sql):
    return reading.create_views(Path(sql), lambda name, select: session.sql(select).createOrReplaceTempView(name))


def read(session, lake, sql, queries):
    """Returns rows, digests and comments of tables, the number of rows of each audit and view, and rows and digests of queries,
    each a text and values of parameters. sql: the repository's folder sql."""
    tables, comments = {}, {}
    for name, table in opened(session, lake).items():
        tables[name] = reading.summary(table.toArrow())
        detail = session.sql(f"DESCRIBE DETAIL delta.`{Path(lake, name)}`").first()
        comments[name] = {
            "table": detail["description"],
            "columns": {field.name: field.metadata.get("comment") for field in table.schema.fields},
        }
    views = create_views(session, sql)
    return {
        "tables": tables,
        "comments": comments,
        "audits": audits(session, sql),
        "views": {name: session.table(name).count() for name in views},
        "queries": {
            name: reading.summary(session.sql(spark_cases.bound(query["sql"], query["parameters"])).toArrow())
            for name, query in queries.items()
        },
    }


def audits(session, sql):
    return reading.audits(Path(sql), lambda select: session.sql(select).count())


def audit(session, lake, sql):
    """Returns the number of rows of each audit of a lake."""
    opened(session, lake)
    create_views(session, sql)
    return audits(session, sql)
