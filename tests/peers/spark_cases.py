"""Runs statements on Spark.

A question has the text of a query, values of its named parameters, views in the order of their creation, and tables: either
columns and rows, or the folder of a Delta table. An answer has the names and kinds of the columns, and the rows, with
timestamps as microseconds since 1970; or it has an error.
"""

import re
from datetime import datetime

import pyarrow as pa

KINDS = {
    "string": pa.string(),
    "long": pa.int64(),
    "integer": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


class Views:
    """The temporary views of a session. Existing views are reused, so a Delta table is read once."""

    def __init__(self, session):
        self.session = session
        self.folders = {}
        self.statements = {}

    def table(self, name, given):
        if self.folders.get(name) == given.get("folder", self):
            return
        self.statements.clear()
        if "folder" in given:
            self.folders[name] = given["folder"]
            found = self.session.read.format("delta").load(given["folder"]).cache()
        else:
            self.folders.pop(name, None)
            found = rows(self.session, given)
        found.createOrReplaceTempView(name)

    def view(self, name, sql):
        if self.statements.get(name) != sql:
            self.session.sql(sql).createOrReplaceTempView(name)
            self.statements[name] = sql


def rows(session, given):
    """Returns a DataFrame of a question's rows."""
    schema = pa.schema([pa.field(name, KINDS[kind], nullable) for name, kind, nullable in given["columns"]])
    times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    rows = [
        {**row, **{name: datetime.fromisoformat(row[name]) for name in times if row[name] is not None}}
        for row in given["rows"]
    ]
    return session.createDataFrame(pa.Table.from_pylist(rows, schema=schema))


def literal(parameter):
    # A literal, because the parser of Delta's extension drops the parameters of session.sql.
    value = parameter["value"]
    if parameter["type"] == "TIMESTAMP":
        return f"TIMESTAMP '{value}'"
    if parameter["type"] == "STRING":
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(int(value))


def bound(sql, parameters):
    """Returns a statement with literals in place of its parameters."""
    values = {name: literal(parameter) for name, parameter in parameters.items()}
    return re.sub(r":([a-z_0-9]+)\b", lambda m: values.get(m[1], m[0]), sql)


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


def answer(session, views, question):
    for name, given in question["tables"].items():
        views.table(name, given)
    for name, sql in question["views"]:
        views.view(name, sql)
    found = session.sql(bound(question["sql"], question["parameters"])).toArrow()
    columns = [[field.name, kind(field)] for field in found.schema]
    rows = [list(row) for row in zip(*(cells(column) for column in found.columns))]
    return {"columns": columns, "rows": rows}


def answers(session, questions, reason):
    """Returns an answer to each question. A failed question does not stop the others, unless the JVM has exited."""
    answers, views = [], Views(session)
    for question in questions:
        try:
            answers.append(answer(session, views, question))
        except Exception as error:
            if session._sc._gateway.proc.poll() is not None:
                raise
            answers.append({"error": reason(error)[:2000]})
    return answers
