"""The SQL Statement Execution API for a lake, with Spark behind it.

Parameters are bound by Spark. Values are written as the API writes them: timestamps cut to milliseconds.
"""

import datetime
import http.server
import json
import sys
import threading
import uuid

from pyspark.sql import functions as F

import spark_reads

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


def handler(answer, reason):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                made = answer(asked)
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


def serve(spark, reason, lake, sql):
    """Serves a lake on a port of its own; says how to reach it. sql: the repository's folder of that name."""

    lock, kept = threading.Lock(), {}

    def with_views(asked):
        def work(session):
            jvm = session.sparkContext._gateway.proc
            with lock:  # one session for all statements, once in each JVM
                if jvm not in kept:
                    spark_reads.opened(session, lake)
                    spark_reads.create_views(session, sql)
                    kept[jvm] = session
            return answer(kept[jvm], asked)

        return spark.with_session(work, extended=False)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(with_views, reason))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    return {"url": url, "warehouse_id": "spark", "catalog": "c", "schema": "s"}
