"""Reads a lake with Spark and prints what it found, comments included, as JSON.

    spark_reads.py LAKE SQL

LAKE: folder of the tables. SQL: the repository's sql folder. OPS_RUNBOOK_SPARK_JARS: folder that spark_jars.py filled.
"""

import os
import re
import tempfile
from importlib.metadata import version
from pathlib import Path

from pyspark.sql import SparkSession

import reading

# tests/it/peers.rs asks the same. As literals: the parser of Delta's extension drops the parameters of session.sql.
PARAMETERS = {
    "as_of": "TIMESTAMP '2026-02-20 12:00:00'",
    "threshold": "3",
    "window_hours": "168",
    "cause": "'code:executor_oom'",
    # 2026-W08 in Berlin
    "week_start": "TIMESTAMP '2026-02-15 23:00:00'",
    "week_end": "TIMESTAMP '2026-02-22 23:00:00'",
    "week_1_start": "TIMESTAMP '2026-02-08 23:00:00'",
    "week_2_start": "TIMESTAMP '2026-02-01 23:00:00'",
    "week_3_start": "TIMESTAMP '2026-01-25 23:00:00'",
    "week_4_start": "TIMESTAMP '2026-01-18 23:00:00'",
    "time_zone": "'Europe/Berlin'",
    "since": "TIMESTAMP '2025-11-16 23:00:00'",
    "known_from": "TIMESTAMP '2026-02-01 00:00:00'",
    "known_until": "TIMESTAMP '1970-01-01 00:00:00'",
    "known_seq": "0",
}


def start(scratch, more=None):
    folder = os.environ.get("OPS_RUNBOOK_SPARK_JARS")
    jars = sorted(Path(folder).glob("*.jar")) if folder else []
    if not jars:
        raise RuntimeError("OPS_RUNBOOK_SPARK_JARS names no folder with jars; tests/run sets it")
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        # One compiler starts faster, and there is little to compute; its code cache alone would be 48 MB, and is filled.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -Xss4m",
        "spark.driver.memory": "2g",
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.local.dir": scratch,
        "spark.sql.adaptive.enabled": "false",  # plans made anew while stages run, in threads of their own: more to fail, nothing to gain
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.warehouse.dir": scratch,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.databricks.delta.snapshotPartitions": "1",
        **(more or {}),
    }
    builder = SparkSession.builder.master("local[2]").appName("ops-runbook tests")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def read(lake, sql):
    with tempfile.TemporaryDirectory(prefix="ops-runbook-spark-") as scratch:
        session = start(scratch)
        try:
            return look(session, lake, sql)
        finally:
            session.stop()


def look(session, lake, sql):
    tables, comments = {}, {}
    for name, folder in reading.tables(lake).items():
        table = session.read.format("delta").load(str(folder))
        table.createOrReplaceTempView(name)
        tables[name] = reading.summary(table.toArrow())
        detail = session.sql(f"DESCRIBE DETAIL delta.`{folder}`").first()
        comments[name] = {
            "table": detail["description"],
            "columns": {field.name: field.metadata.get("comment") for field in table.schema.fields},
        }
    views = reading.create_views(sql, lambda name, select: session.sql(select).createOrReplaceTempView(name))
    return {
        "engine": f"spark {session.version}, delta-spark {version('delta-spark')}",
        "tables": tables,
        "audits": reading.audits(sql, lambda select: session.sql(select).count()),
        "views": {name: session.table(name).count() for name in views},
        "queries": reading.queries(sql, lambda select: asked(session, select)),
        "comments": comments,
    }


def asked(session, select):
    """Rows and digest of a query, its parameters replaced by values."""
    names = "|".join(PARAMETERS)
    return reading.summary(session.sql(re.sub(f":({names})\\b", lambda m: PARAMETERS[m[1]], select)).toArrow())


if __name__ == "__main__":
    reading.main("spark_reads", read)
