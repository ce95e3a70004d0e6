"""Answers questions with Spark: a JSON array on standard input, an array of answers on standard output.

A question has the text of a query, values for its named parameters, views with their texts in the order in which they are
made, and tables: either columns and rows, or the folder of a Delta table. An answer has the names and kinds of the columns
and the rows, timestamps as microseconds since 1970; or it has an error.
"""

import json
import os
import re
import sys
import tempfile
from datetime import datetime

import pyarrow as pa

import spark_reads

KINDS = {
    "string": pa.string(),
    "long": pa.int64(),
    "integer": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def table(session, given, opened):
    """A DataFrame of a question's table. A Delta table is opened once."""
    if "folder" in given:
        folder = given["folder"]
        if folder not in opened:
            opened[folder] = session.read.format("delta").load(folder)
        return opened[folder]
    schema = pa.schema([pa.field(name, KINDS[kind], nullable) for name, kind, nullable in given["columns"]])
    times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    rows = [
        {**row, **{name: datetime.fromisoformat(row[name]) for name in times if row[name] is not None}}
        for row in given["rows"]
    ]
    return session.createDataFrame(pa.Table.from_pylist(rows, schema=schema))


def literal(parameter):
    # As literals: the parser of Delta's extension drops the parameters of session.sql.
    value = parameter["value"]
    if parameter["type"] == "TIMESTAMP":
        return f"TIMESTAMP '{value}'"
    if parameter["type"] == "STRING":
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(int(value))


def kind(field):
    kind = field.type
    if pa.types.is_timestamp(kind):
        return "timestamp"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    names = {pa.int64(): "long", pa.int32(): "int", pa.float64(): "double", pa.bool_(): "boolean", pa.date32(): "date"}
    if kind not in names:
        raise TypeError(f"column {field.name} has the type {kind}")
    return names[kind]


def cells(column):
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_pylist()
    if pa.types.is_date32(column.type):
        return [None if day is None else day.isoformat() for day in column.to_pylist()]
    return column.to_pylist()


def answer(session, question, opened):
    for name, given in question["tables"].items():
        table(session, given, opened).createOrReplaceTempView(name)
    for name, sql in question["views"]:
        session.sql(sql).createOrReplaceTempView(name)
    values = {name: literal(parameter) for name, parameter in question["parameters"].items()}
    sql = re.sub(r":([a-z_0-9]+)\b", lambda m: values.get(m[1], m[0]), question["sql"])
    found = session.sql(sql).toArrow()
    columns = [[field.name, kind(field)] for field in found.schema]
    rows = [list(row) for row in zip(*(cells(column) for column in found.columns))]
    return {"columns": columns, "rows": rows}


def main():
    # A JVM writes its warnings to standard output too: that is for the document alone.
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    questions = json.load(sys.stdin)
    answers, opened = [], {}
    with tempfile.TemporaryDirectory(prefix="ops-runbook-spark-") as scratch:
        session = spark_reads.start(scratch)
        try:
            for question in questions:
                try:
                    answers.append(answer(session, question, opened))
                except Exception as error:
                    answers.append({"error": f"{type(error).__name__}: {str(error)[:2000]}"})
        finally:
            session.stop()
    with result:
        json.dump(answers, result)


if __name__ == "__main__":
    main()
