"""Speaks the SQL Statement Execution API for a lake, with Spark behind it, until standard input ends.

spark_statements.py LAKE SQL: prints one line of JSON, {"url", "warehouse_id", "catalog", "schema"}, once it answers.

Parameters are bound by Spark. Values are written as the API writes them: timestamps cut to milliseconds.
"""

import datetime
import http.server
import json
import os
import re
import sys
import tempfile
import threading
import uuid
from pathlib import Path

import reading
import spark_reads
from pyspark.sql import functions as F

# The parser of Delta's extension drops parameters; reading tables needs no extension.
WITHOUT_EXTENSION = {
    "spark.sql.extensions": "",
    "spark.databricks.delta.requiredSparkConfsCheck.enabled": "false",
}
NAMES = {"bigint": "LONG", "smallint": "SHORT", "tinyint": "BYTE", "void": "NULL"}


def text(field):
    """A column as the API writes its values."""
    column = F.col(f"`{field.name}`")
    if field.dataType.simpleString() == "timestamp":
        return F.date_format(column, "yyyy-MM-dd'T'HH:mm:ss.SSSXXX")
    return column.cast("string")


def described(position, field):
    kind = field.dataType.simpleString()
    name, _, digits = kind.partition("(")
    column = {"name": field.name, "position": position, "type_text": kind.upper(), "type_name": NAMES.get(name, name.upper())}
    if digits:
        column["type_precision"], column["type_scale"] = (int(part) for part in digits.rstrip(")").split(","))
    return column


READ = {"STRING": str, "INT": int, "BIGINT": int, "TIMESTAMP": datetime.datetime.fromisoformat}


def answer(session, asked):
    arguments = {one["name"]: READ[one["type"]](one["value"]) for one in asked["parameters"]}
    found = session.sql(asked["statement"], arguments)
    rows = [list(row) for row in found.select([text(field).alias(str(n)) for n, field in enumerate(found.schema)]).collect()]
    columns = [described(position, field) for position, field in enumerate(found.schema)]
    return {
        "status": {"state": "SUCCEEDED"},
        "manifest": {
            "format": "JSON_ARRAY",
            "schema": {"column_count": len(columns), "columns": columns},
            "total_chunk_count": 1,
            "total_row_count": len(rows),
            "truncated": False,
        },
        "result": {"chunk_index": 0, "data_array": rows},
    }


def reason(error):
    """What an exception says; of one in Java, the cause of its causes first: what comes after a few hundred letters is cut."""
    said = str(error)
    *_, cause = re.findall(r"^Caused by: (.*)$", said, re.MULTILINE) or [""]
    return f"{cause}; {said}" if cause else said


def handler(session):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                made = answer(session, asked)
            except Exception as error:
                print(error, file=sys.stderr)
                made = {"status": {"state": "FAILED", "error": {"error_code": "BAD_REQUEST", "message": reason(error)}}}
            body = json.dumps({"statement_id": str(uuid.uuid4()), **made}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def main():
    lake, sql = (Path(argument).resolve() for argument in sys.argv[1:3])
    # A JVM writes its warnings to standard output too.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(prefix="ops-runbook-spark-") as scratch:
        session = spark_reads.start(scratch, WITHOUT_EXTENSION)
        for name, folder in reading.tables(lake).items():
            session.read.format("delta").load(str(folder)).createOrReplaceTempView(name)
        reading.create_views(sql, lambda name, select: session.sql(select).createOrReplaceTempView(name))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(session))
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        print(json.dumps({"url": url, "warehouse_id": "spark", "catalog": "c", "schema": "s"}), file=out, flush=True)
        sys.stdin.read()
        server.shutdown()
        serving.join()
        session.stop()


if __name__ == "__main__":
    main()
