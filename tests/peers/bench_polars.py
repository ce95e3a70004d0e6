"""Benchmarks Polars on the live files of the Delta tables. The queries are lazy frames, because its SQL lacks features that
sql/ needs (frames, LEAD, QUALIFY). They ignore cause aliases, which the benchmark lake does not have."""

from datetime import datetime, timedelta, timezone

import polars as pl

import benchmark

WINDOW = timedelta(hours=benchmark.PARAMETERS["window_hours"])
THRESHOLD = benchmark.PARAMETERS["threshold"]
AS_OF = datetime.fromisoformat(benchmark.PARAMETERS["as_of"]).replace(tzinfo=timezone.utc)


def weekly(lake):
    states = pl.scan_delta(str(lake / "incident_states"))
    latest = states.group_by("incident_id").agg(pl.col("seq").max())
    incidents = states.join(latest, on=["incident_id", "seq"])
    return (
        incidents.group_by(pl.col("reported_at").dt.truncate("1w").alias("week"), "incident_type")
        .agg(
            pl.len().cast(pl.Int64).alias("incidents"),
            (pl.col("status") != "resolved").sum().cast(pl.Int64).alias("unresolved"),
        )
        .select("week", "incident_type", "incidents", "unresolved")
    )


def recurrence(lake):
    causes = pl.scan_delta(str(lake / "root_causes"))
    latest = causes.group_by("incident_id").agg(pl.col("seq").max())
    findings = causes.join(latest, on=["incident_id", "seq"], how="semi").filter(
        pl.col("cause_fingerprint").is_not_null(), pl.col("found_at") <= AS_OF
    )
    occurrences = (
        findings.group_by(pl.col("cause_fingerprint").alias("cause"), "occurrence_key")
        .agg(
            pl.col("found_at").min().alias("at"),
            pl.col("incident_id").sort_by("seq").first(),
            pl.len().cast(pl.Int64).alias("incidents"),
        )
        .sort("cause", "at", "occurrence_key")
    )
    gap = pl.col("at") - pl.col("at").shift(1).over("cause")
    run = pl.col("at").shift(1 - THRESHOLD).over("cause") - pl.col("at")
    sessions = occurrences.with_columns(
        (gap.is_null() | (gap > WINDOW)).cum_sum().over("cause").alias("session"),
        (run <= WINDOW).fill_null(False).alias("begins_run"),
        pl.col("incident_id").shift(1 - THRESHOLD).over("cause").alias("reached"),
    )
    in_episode = pl.col("begins_run").cum_max().over("cause", "session")
    return (
        sessions.filter(in_episode)
        .group_by("cause", "session", maintain_order=True)
        .agg(
            pl.col("at").first().alias("first_at"),
            pl.col("at").last().alias("last_at"),
            pl.len().cast(pl.Int64).alias("occurrences"),
            pl.col("incidents").sum(),
            (AS_OF - pl.col("at").last() <= WINDOW).alias("is_open"),
            pl.lit(False).alias("may_begin_earlier"),
            pl.col("incident_id").last().alias("last_incident_id"),
            pl.col("incident_id").first().alias("first_incident_id"),
            pl.col("reached").first().alias("reached_incident_id"),
        )
        .drop("session")
    )


def answers(lake, views, question, text):
    frame = {"recurrence": recurrence, "weekly": weekly}[question]

    def ask():
        return frame(lake).collect(engine="streaming").to_arrow(compat_level=pl.CompatLevel.oldest())

    return f"Polars {pl.__version__}", ask


if __name__ == "__main__":
    benchmark.main(answers)
