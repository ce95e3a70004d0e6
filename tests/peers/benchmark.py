"""The common part of the other engines in `cargo bench -- analytics`: runs a query several times and prints JSON."""

import json
import os
import re
import sys
import time
from pathlib import Path

import reading

# Keep equal to tests/bench/analytics.rs.
PARAMETERS = {
    "since": "1700-01-01 00:00:00",
    "as_of": "2026-11-16 00:00:00",
    "threshold": 3,
    "window_hours": 168,
}
TABLES = ["cause_aliases", "incident_states", "root_causes"]
VIEWS = ["cause_findings", "incidents"]


def main(answers, peak=lambda: 0):
    """Runs a query and prints its times and results. answers(lake, views, question, text) returns the engine's name and a
    function that returns an Arrow table. That function runs RUNS + 1 times. peak() returns the peak memory, KiB, of a child
    process that does the work."""
    if len(sys.argv) != 5:
        sys.exit("usage: bench_ENGINE.py LAKE REPOSITORY QUESTION RUNS")
    lake, root, question, runs = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    # A JVM also writes warnings to standard output, which must have only the JSON document.
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    views = {name: (root / f"sql/views/{name}.sql").read_text(encoding="utf-8") for name in VIEWS}
    file = {"recurrence": "sql/recurrence.sql", "weekly": "tests/bench/weekly_history.sql"}[question]
    engine, ask = answers(lake, views, question, (root / file).read_text(encoding="utf-8"))
    walls, summaries = [], []
    for _ in range(runs + 1):
        start = time.monotonic()
        table = ask()
        walls.append(time.monotonic() - start)
        summaries.append(reading.summary(table))
    if any(summary != summaries[0] for summary in summaries):
        sys.exit(f"{engine} returns different results in different runs")
    with result:
        print(json.dumps({"engine": engine, "walls": walls, "peak": peak(), **summaries[0]}), file=result)


def bound(text, timestamp):
    """Returns the query with its parameters as literals. timestamp is the engine's name of the type."""

    def literal(match):
        value = PARAMETERS[match[1]]
        return f"{timestamp} '{value}'" if isinstance(value, str) else str(value)

    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return re.sub(f":({'|'.join(PARAMETERS)})\\b", literal, code)
