"""Answers questions with one Spark until standard input ends.

A line of standard input is a JSON object with an "id" and one question:

    {"answer": [...]}                     spark_cases.answers: statements over given tables
    {"read": {"lake", "sql", "queries"}}  spark_reads.read: what is in a lake
    {"audit": {"lake", "sql"}}            spark_reads.audit: rows that each audit of a lake returns
    {"serve": {"lake", "sql"}}            spark_statements.serve: the SQL Statement Execution API for a lake
    {"run": {"statements"}}               runs statements of SQL, one after the other
    {"serve_schema": {"name"}}            spark_statements.serve_schema: the same for a schema of its own
    {"in_schema": {"name", ...}}          spark_statements.in_schema: what goes wrong in a schema, and what is in it
    {"kill": {}}                          ends the JVM, for a test of what comes then

A line of standard output is {"id", "result"} or {"id", "error"}. The first line, {"ready": "spark"}, has no id. Each question has
a session of its own: views and settings of one do not reach another. A JVM that ends is started a second time, and what was asked
of it is asked again.
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
        # One compiler starts faster, and there is little to compute; its code cache alone would be 48 MB, and is filled.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -Xss4m",
        "spark.driver.memory": "2g",
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.local.dir": scratch,
        # Plans that change while stages run, in threads of their own: more to fail, nothing to gain.
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
    """One JVM at a time, with two sessions to derive others from.

    The parser of Delta's extension drops the parameters of session.sql. Sessions of the SQL Statement Execution API are
    therefore without the extension, which reading needs not; all others have it, as on Databricks.
    """

    def __init__(self, scratch):
        self.scratch = scratch
        self.lock = threading.Lock()
        self.starts = 0
        self.jvm = self.plain = self.extended = None

    def start(self):
        if self.starts == STARTS:
            raise RuntimeError(f"Spark's JVM has ended {STARTS} times")
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
        """Makes pyspark start another JVM, after one that ended."""
        try:
            self.plain.sparkContext.stop()
        except Exception as error:
            print(f"spark_serves: {error}", file=sys.stderr)
        SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
        SparkSession._instantiatedSession = None
        self.jvm = self.plain = self.extended = None

    def session(self, extended):
        """The JVM and a new session in it."""
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
        """What work(session) returns, asked once more of another JVM if the first one ended meanwhile."""
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
    """Whether a JVM has ended, which an error may be due to."""
    if isinstance(error, (Py4JError, OSError)):
        try:
            jvm.wait(timeout=2)  # connections end before the process does
        except subprocess.TimeoutExpired:
            return False
    return jvm.poll() is not None


def reason(error):
    """What an exception says; of one in Java, the cause of its causes first: the rest is long."""
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
    # A JVM writes its warnings to standard output too: that is for answers alone.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    writing = threading.Lock()
    # Answers have the errors; pyspark would log each with all frames of the JVM.
    logging.getLogger("SQLQueryContextLogger").disabled = True

    def say(line):
        with writing:
            print(json.dumps(line), file=out, flush=True)

    def handle(asked):
        try:
            say({"id": asked["id"], "result": result(spark, asked)})
        except Exception as error:
            say({"id": asked["id"], "error": reason(error)[:2000]})

    with tempfile.TemporaryDirectory(prefix="ops-runbook-spark-", ignore_cleanup_errors=True) as scratch:
        spark = Spark(scratch)
        workers = ThreadPoolExecutor(AT_ONCE)
        say({"ready": "spark"})
        for line in sys.stdin:
            workers.submit(handle, json.loads(line))
        spark.end()
    # Without waiting for answers that no process reads any more.
    os._exit(0)


if __name__ == "__main__":
    main()
