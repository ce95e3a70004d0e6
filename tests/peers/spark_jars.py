"""Fetches the jars that Spark needs to read Delta tables.

    spark_jars.py FOLDER

Spark's own resolver fetches the jars that belong to the installed delta-spark, without the big ones that pyspark has.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession

BROUGHT_BY_PYSPARK = ["org.apache.hadoop:hadoop-client-api", "org.apache.hadoop:hadoop-client-runtime"]


def fetch(folder):
    with tempfile.TemporaryDirectory(prefix="ops-runbook-jars-") as scratch:
        builder = (
            SparkSession.builder.master("local[1]")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.jars.excludes", ",".join(BROUGHT_BY_PYSPARK))
            .config("spark.jars.ivy", scratch)
            .config("spark.local.dir", scratch)
            .config("spark.ui.enabled", "false")
        )
        configure_spark_with_delta_pip(builder).getOrCreate().stop()
        folder.mkdir(parents=True, exist_ok=True)
        for jar in Path(scratch, "jars").glob("*.jar"):
            shutil.copy(jar, folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: spark_jars FOLDER")
    fetch(Path(sys.argv[1]))
