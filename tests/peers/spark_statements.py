"""The SQL Statement Execution API on Spark, for the files of a lake or the tables of a schema.

Values have the API's format, with timestamps truncated to milliseconds. For a lake, Spark binds the parameters. For a schema,
whose sessions need Delta's extension to write, parameters are replaced with literals.
"""

import concurrent.futures
import datetime
import http.server
import json
import re
import sys
import threading
import uuid
from pathlib import Path

from pyspark.sql import functions as F

import reading
import spark_cases
import spark_reads

NAMES = {"bigint": "LONG", "smallint": "SHORT", "tinyint": "BYTE", "void": "NULL"}


def text(field):
    """Returns a column with values in the API's format."""
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
    return written(session.sql(asked["statement"], arguments))


def written(found):
    """Returns an answer of the API."""
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


WAIT = 5  # seconds until a statement is answered as still running
AT_ONCE = 32


class Refused(Exception):
    """The statement is refused."""


class Lost(Exception):
    """The statement runs, but its answer is lost."""


class Running:
    """Started statements by id."""

    def __init__(self, reason):
        self.reason = reason
        self.workers = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        self.begun = {}

    def begin(self, work):
        statement = str(uuid.uuid4())
        self.begun[statement] = self.workers.submit(work)
        return statement

    def wait(self):
        """Waits until all statements have finished."""
        concurrent.futures.wait(self.begun.values())

    def state(self, statement):
        """Returns the API's answer about a statement. Waits up to WAIT seconds."""
        try:
            made = self.begun[statement].result(WAIT)
        except concurrent.futures.TimeoutError:
            made = {"status": {"state": "RUNNING"}}
        except Exception as error:
            message = self.reason(error)
            print(message, file=sys.stderr)
            made = {"status": {"state": "FAILED", "error": {"error_code": "BAD_REQUEST", "message": message}}}
        return {"statement_id": statement, **made}


def handler(running, begin, tables=lambda name: None):
    """Returns a request handler. begin(asked) starts a statement and returns its id. tables(name) returns Unity Catalog's description
    of a table, or None."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            folder, _, name = self.path.rpartition("/")
            if folder.endswith("/sql/statements"):
                self.answer(200, running.state(name))
                return
            found = tables(name)
            self.answer(200 if found else 404, found or {"error_code": "TABLE_DOES_NOT_EXIST", "message": name})

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self.answer(200, running.state(begin(asked)))
            except Refused as error:
                self.answer(400, {"error_code": "INVALID_STATE", "message": str(error)})
            except Lost:
                self.close_connection = True

        def answer(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler


def serve(spark, reason, lake, sql):
    """Serves a lake on a new port. Returns its address. sql: the repository's folder sql."""

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

    running = Running(reason)
    url = started(handler(running, lambda asked: running.begin(lambda: with_views(asked))))
    return {"url": url, "warehouse_id": "spark", "catalog": "c", "schema": "s"}


def started(made):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), made)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


class Schema:
    """A schema with its own tables and views, and the faults to produce.

    inserts: number of INSERT statements to run before all statements are refused; None for no limit.
    lost: number of INSERT statements whose answers are lost. With "late" the connection closes while they run.
    together: number of INSERT statements that start together, when all of them have arrived.
    """

    LIMIT = 600  # seconds to wait for another statement

    def __init__(self, spark, reason, name):
        self.spark, self.name, self.running = spark, name, Running(lambda error: str(error))
        self.reason = reason
        self.lock = threading.Lock()
        self.inserts, self.lost, self.late = None, 0, False
        self.expect(0)
        self.conflicts = 0
        spark.with_session(lambda session: session.sql(f"CREATE SCHEMA `{name}`"))

    def expect(self, together):
        self.expected, self.meeting = together, threading.Barrier(max(together, 1))

    def do(self, work):
        def inside(session):
            session.sql(f"USE `{self.name}`")
            return work(session)

        return self.spark.with_session(inside)

    def run(self, asked):
        parameters = {one["name"]: one for one in asked["parameters"]}
        # Delta on open-source Spark does not support keys.
        sql = re.sub(r",\n  PRIMARY KEY \([^)]*\)", "", asked["statement"])
        try:
            return self.do(lambda session: written(session.sql(spark_cases.bound(sql, parameters) if parameters else sql)))
        except Exception as error:
            if "[DELTA_CONCURRENT_" in str(error):
                with self.lock:
                    self.conflicts += 1
            raise type("Failed", (Exception,), {})(self.reason(error)) from error

    def begin(self, asked):
        is_insert = asked["statement"].startswith("INSERT ")
        with self.lock:
            if self.inserts == 0:
                raise Refused("stopped")
            if is_insert and self.inserts:
                self.inserts -= 1
            is_lost, late = is_insert and self.lost > 0, self.late
            self.lost -= is_lost
            meeting = self.meeting if is_insert and self.expected > 0 else None
            self.expected -= meeting is not None

        def work():
            if meeting:
                meeting.wait(self.LIMIT)
            return self.run(asked)

        statement = self.running.begin(work)
        if is_lost:
            if not late:
                concurrent.futures.wait([self.running.begun[statement]])
            raise Lost
        return statement

    def table(self, name):
        exists = self.do(lambda session: session.catalog.tableExists(name.rpartition(".")[2]))
        return {"name": name, "table_type": "MANAGED"} if exists else None


SCHEMAS = {}


def serve_schema(spark, reason, name):
    """Serves a new schema on a new port. Returns its address."""
    schema = SCHEMAS[name] = Schema(spark, reason, name)
    url = started(handler(schema.running, schema.begin, schema.table))
    return {"url": url, "warehouse_id": "spark", "catalog": "spark_catalog", "schema": name}


def in_schema(name, inserts=None, lost=0, late=False, together=0, run=(), digests=False):
    """Sets the faults of a schema and runs statements in it. Returns the number of conflicts and of each table's commits, and
    with digests the rows and the digest of every table."""
    schema = SCHEMAS[name]
    schema.running.wait()
    with schema.lock:
        schema.inserts, schema.lost, schema.late = inserts, lost, late
        schema.expect(together)
    for sql in run:
        schema.do(lambda session: session.sql(sql))

    def summaries(session):
        names = [table.name for table in session.catalog.listTables() if table.tableType == "MANAGED"]
        return {table: reading.summary(session.table(table).toArrow()) for table in names}

    logs = Path(schema.spark.scratch, f"{name}.db").glob("*/_delta_log")
    commits = {log.parent.name: len(list(log.glob("*.json"))) for log in logs}
    return {"conflicts": schema.conflicts, "commits": commits, "tables": schema.do(summaries) if digests else {}}
