"""Answers questions with one Spark process until standard input ends.

A line of standard input is a JSON object with an "id" and one question:

    {"answer": [...]}                     spark_cases.answers: statements over given tables
    {"read": {"lake", "sql", "queries"}}  spark_reads.read: the content of a lake
    {"audit": {"lake", "sql"}}            spark_reads.audit: the number of rows of each audit of a lake
    {"serve": {"lake", "sql"}}            spark_statements.serve: the SQL Statement Execution API for a lake
    {"run": {"statements"}}               runs SQL statements one after the other
    {"serve_schema": {"name"}}            spark_statements.serve_schema: the same for a new schema
    {"in_schema": {"name", ...}}          spark_statements.in_schema: sets faults of a schema, and reads its content
    {"kill": {}}                          kills the JVM, for tests of its restart

A line of standard output is {"id", "result"} or {"id", "error"}. The first line, {"ready": "spark"}, has no id. Each question has
its own session, with its own views and settings. A JVM that exits is restarted once, and its questions are repeated.
"""

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.sql import SparkSession

import spark_cases
import spark_reads
import spark_statements

STARTS = 2
AT_ONCE = 2


def settings(scratch):
    jars = sorted(Path(sys.prefix, "spark-jars").glob("*.jar"))
    if not jars:
        raise RuntimeError(f"there are no jars in {sys.prefix}/spark-jars")
    return {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        # One compiler starts faster, and there is little to compute. Its default code cache of 48 MB is too small.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -Xss4m",
        "spark.driver.memory": "2g",
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.local.dir": scratch,
        # Adaptive plans use more threads and bring no benefit here.
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.warehouse.dir": scratch,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Delta looks for its extension in the settings of the context, which has none: see Spark.start.
        "spark.databricks.delta.requiredSparkConfsCheck.enabled": "false",
        "spark.databricks.delta.snapshotPartitions": "1",
    }


class Spark:
    """One JVM at a time, with two sessions from which others are derived.

    The parser of Delta's extension drops the parameters of session.sql. Sessions of the SQL Statement Execution API
    therefore do not have the extension, which reading does not need. All others have it, as on Databricks.
    """

    def __init__(self, scratch):
        self.scratch = scratch
        self.lock = threading.Lock()
        self.starts = 0
        self.jvm = self.plain = self.extended = None

    def start(self):
        if self.starts == STARTS:
            raise RuntimeError(f"Spark's JVM has exited {STARTS} times")
        self.starts += 1
        builder = SparkSession.builder.master("local[2]").appName("ops-runbook tests")
        for key, value in settings(self.scratch).items():
            builder = builder.config(key, value)
        plain = builder.getOrCreate()
        context = plain.sparkContext
        context.setLogLevel("ERROR")
        java = context._jvm
        extended = java.org.apache.spark.sql.classic.SparkSession.builder()
        extended = extended.withExtensions(java.io.delta.sql.DeltaSparkSessionExtension()).create()
        self.plain, self.extended = plain, SparkSession(context, extended)
        self.jvm = context._gateway.proc

    def forget(self):
        """Resets pyspark after the JVM has exited, so that it starts another one."""
        try:
            self.plain.sparkContext.stop()
        except Exception as error:
            print(f"spark_serves: {error}", file=sys.stderr)
        SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
        SparkSession._instantiatedSession = None
        self.jvm = self.plain = self.extended = None

    def session(self, extended):
        """Returns the JVM and a new session in it."""
        with self.lock:
            if self.jvm is not None and self.jvm.poll() is not None:
                print(f"spark_serves: Spark's JVM ended with {self.jvm.poll()}", file=sys.stderr, flush=True)
                self.forget()
            if self.jvm is None:
                self.start()
            session = (self.extended if extended else self.plain).newSession()
            session._jvm.org.apache.spark.sql.classic.SparkSession.setActiveSession(session._jsparkSession)
            return self.jvm, session

    def with_session(self, work, extended=True):
        """Returns work(session). Repeats it with another JVM if the first one has exited meanwhile."""
        while True:
            jvm, session = self.session(extended)
            try:
                return work(session)
            except Exception as error:
                if not has_ended(jvm, error):
                    raise

    def end(self):
        with self.lock:
            if self.jvm is not None:
                self.jvm.kill()
                self.jvm.wait()


def has_ended(jvm, error):
    """Returns whether a JVM has exited, which may have caused the error."""
    if isinstance(error, (Py4JError, OSError)):
        try:
            jvm.wait(timeout=2)  # connections end before the process does
        except subprocess.TimeoutExpired:
            return False
    return jvm.poll() is not None


def reason(error):
    """Returns the text of an exception. An exception from Java is long, so its root cause comes first."""
    said = f"{type(error).__name__}: {error}"
    *_, cause = re.findall(r"^Caused by: (.*)$", said, re.MULTILINE) or [""]
    return f"{cause}; {said}" if cause else said


def run(session, statements):
    for statement in statements:
        session.sql(statement).collect()


def result(spark, question):
    if "answer" in question:
        return spark.with_session(lambda session: spark_cases.answers(session, question["answer"], reason))
    if "read" in question:
        return spark.with_session(lambda session: spark_reads.read(session, **question["read"]))
    if "audit" in question:
        return spark.with_session(lambda session: spark_reads.audit(session, **question["audit"]))
    if "serve" in question:
        return spark_statements.serve(spark, reason, **question["serve"])
    if "run" in question:
        return spark.with_session(lambda session: run(session, **question["run"]))
    if "serve_schema" in question:
        return spark_statements.serve_schema(spark, reason, **question["serve_schema"])
    if "in_schema" in question:
        return spark_statements.in_schema(**question["in_schema"])
    if "kill" in question:
        return spark.end()
    raise ValueError(f"no such question: {sorted(question)}")


def main():
    # A JVM also writes warnings to standard output, which must have only answers.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    writing = threading.Lock()
    # Errors are in the answers; pyspark would also log each with all frames of the JVM.
    logging.getLogger("SQLQueryContextLogger").disabled = True

    def write(line):
        with writing:
            print(json.dumps(line), file=out, flush=True)

    def handle(asked):
        try:
            write({"id": asked["id"], "result": result(spark, asked)})
        except Exception as error:
            write({"id": asked["id"], "error": reason(error)[:2000]})

    with tempfile.TemporaryDirectory(prefix="ops-runbook-spark-", ignore_cleanup_errors=True) as scratch:
        spark = Spark(scratch)
        workers = ThreadPoolExecutor(AT_ONCE)
        write({"ready": "spark"})
        for line in sys.stdin:
            workers.submit(handle, json.loads(line))
        spark.end()
    # Does not wait for answers that no process reads.
    os._exit(0)


if __name__ == "__main__":
    main()
