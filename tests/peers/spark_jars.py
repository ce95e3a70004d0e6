"""Fetches the jars that Spark needs to read Delta tables.

    spark_jars.py FOLDER

Spark's own resolver fetches the jars of the installed delta-spark, without the large ones that pyspark has. It gets its own
settings: by default it uses ~/.m2, where Maven leaves descriptions without jars.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import quoteattr

from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession

BROUGHT_BY_PYSPARK = ["org.apache.hadoop:hadoop-client-api", "org.apache.hadoop:hadoop-client-runtime"]


def settings():
    """Returns settings of Ivy: only the public repository, or the one in DEFAULT_ARTIFACT_REPOSITORY, as in Spark."""
    repository = os.environ.get("DEFAULT_ARTIFACT_REPOSITORY")
    root = f" root={quoteattr(repository)}" if repository else ""
    return (
        '<ivysettings><settings defaultResolver="public"/>'
        f'<resolvers><ibiblio name="public" m2compatible="true"{root}/></resolvers></ivysettings>'
    )


def fetch(folder):
    with tempfile.TemporaryDirectory(prefix="ops-runbook-jars-") as scratch:
        file = Path(scratch, "ivysettings.xml")
        file.write_text(settings(), encoding="utf-8")
        builder = (
            SparkSession.builder.master("local[1]")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.jars.excludes", ",".join(BROUGHT_BY_PYSPARK))
            .config("spark.jars.ivy", scratch)
            .config("spark.jars.ivySettings", str(file))
            .config("spark.local.dir", scratch)
            .config("spark.ui.enabled", "false")
        )
        configure_spark_with_delta_pip(builder).getOrCreate().stop()
        folder.mkdir(parents=True, exist_ok=True)
        jars = list(Path(scratch, "jars").glob("*.jar"))
        if not jars:
            sys.exit("download failed: the resolver fetched no jar")
        for jar in jars:
            shutil.copy(jar, folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: spark_jars FOLDER")
    fetch(Path(sys.argv[1]))
