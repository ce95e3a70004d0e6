"""What the engines beside have in common in `cargo bench -- analytics`: a question asked several times, one JSON document."""

import json
import os
import re
import sys
import time
from pathlib import Path

import reading

# tests/bench/analytics.rs asks the same.
PARAMETERS = {
    "since": "1700-01-01 00:00:00",
    "as_of": "2026-11-16 00:00:00",
    "threshold": 3,
    "window_hours": 168,
}
TABLES = ["cause_aliases", "incident_states", "root_causes"]
VIEWS = ["cause_findings", "incidents"]


def main(answers, peak=lambda: 0):
    """Calls answers(lake, views, question, text), which returns the engine's name and a function that answers with an Arrow
    table; asks that one time more than the command line says, and prints how long it took and what came. peak() returns the
    peak memory, KiB, of a child that does the work."""
    if len(sys.argv) != 5:
        sys.exit("usage: bench_ENGINE.py LAKE REPOSITORY QUESTION RUNS")
    lake, root, question, runs = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    # A JVM writes its warnings to standard output too: that is for the document alone.
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
        sys.exit(f"{engine} does not always answer alike")
    with result:
        print(json.dumps({"engine": engine, "walls": walls, "peak": peak(), **summaries[0]}), file=result)


def bound(text, timestamp):
    """The query with its parameters as literals; timestamp is how the engine writes the type."""

    def literal(match):
        value = PARAMETERS[match[1]]
        return f"{timestamp} '{value}'" if isinstance(value, str) else str(value)

    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return re.sub(f":({'|'.join(PARAMETERS)})\\b", literal, code)
