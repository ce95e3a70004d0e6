"""Benchmarks Spark with Delta's jars on this machine: the repository's SQL files, with parameters as literals."""

import re
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from pyspark.sql import SparkSession

import benchmark


def start(scratch):
    jars = sorted(Path(sys.prefix, "spark-jars").glob("*.jar"))
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.maxResultSize": "4g",
        "spark.driver.memory": "8g",
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.local.dir": scratch,
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.warehouse.dir": scratch,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master("local[2]").appName("ops-runbook benchmarks")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def peak():
    """Returns the peak memory of the JVM, KiB. The JVM is not a child whose memory the caller accounts for."""
    jvm = SparkSession.getActiveSession().sparkContext._gateway.proc.pid
    status = Path(f"/proc/{jvm}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])


def answers(lake, views, question, text):
    session = start(tempfile.mkdtemp(prefix="ops-runbook-spark-"))
    for name in benchmark.TABLES:
        session.read.format("delta").load(str(lake / name)).createOrReplaceTempView(name)
    for name, select in views.items():
        session.sql(select).createOrReplaceTempView(name)
    statement = benchmark.bound(text, "TIMESTAMP")
    engine = f"Spark {session.version}, delta-spark {version('delta-spark')}"
    return engine, lambda: session.sql(statement).toArrow()


if __name__ == "__main__":
    benchmark.main(answers, peak)
