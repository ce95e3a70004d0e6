"""Deploys the bundle's jobs to MiniLake, an emulator of a workspace, runs some, and prints what became of them.

    emulator.py ROOT BINARY FOLDER < PLAN

ROOT: folder of databricks.yml. BINARY: what is deployed as bundle/bin/ops-runbook. FOLDER: where the workspace is kept. PLAN: a
JSON object with `given`, references and their values; `tasks`, the tasks of each job to run, in that order; `files`, more
workspace files and the local ones they are made of; `more`, jobs that the bundle does not have, as in its YAML; `secrets`.

Prints a JSON array, one object per run: job, state, tasks with their key, state, logs, error. MiniLake runs a task by the
python3 of PATH and leaves out what Databricks would do next: retries, notifications.
"""

import base64
import json
import os
import stat
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import bundle

HOST = "127.0.0.1"
TOKEN = "dapi00000000000000000000000000000000"
SECONDS = 300  # for one run


def serve(folder):
    """MiniLake in a thread of this process; returns its URL."""
    os.environ.update(
        MINILAKE_DATA_DIR=str(folder / "data"),
        MINILAKE_JOB_EXECUTOR="subprocess",
        MINILAKE_SERVICES="identity,workspace,secrets,jobs",
        MINILAKE_NOTEBOOK="0",
        MINILAKE_DUCKDB_EXTENSION_DIR=str(folder),  # nothing is fetched
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        PYTHONDONTWRITEBYTECODE="1",
    )
    import uvicorn
    from minilake.app import create_app

    let_tasks_read_secrets()
    # Its parser drops no body of a request; the emulator's own command asks for the same one.
    server = uvicorn.Server(uvicorn.Config(create_app(), host=HOST, port=0, log_level="error", http="h11"))
    threading.Thread(target=server.run, daemon=True).start()
    until = time.monotonic() + 60
    while not server.started:
        if time.monotonic() > until:
            raise RuntimeError("the emulator does not start")
        time.sleep(0.05)
    return f"http://{HOST}:{server.servers[0].sockets[0].getsockname()[1]}"


def let_tasks_read_secrets():
    """MiniLake refuses to tell a secret to anybody. Databricks tells tasks that may read the scope."""
    from minilake.services import secrets

    async def get_secret(scope: str, key: str):
        value = secrets.resolve_secret_value(scope, key)
        return {"key": key, "value": base64.b64encode(value.encode()).decode()}

    secrets.router.routes[:] = [route for route in secrets.router.routes if not route.path.endswith("/secrets/get")]
    secrets.router.get("/get")(get_secret)


def log_in(folder, url):
    """A profile is the only way in: nothing is preset in a task's environment."""
    for name in [name for name in os.environ if name.startswith("DATABRICKS_")]:
        del os.environ[name]
    profile = folder / "databrickscfg"
    profile.write_text(f"[DEFAULT]\nhost = {url}\ntoken = {TOKEN}\n", encoding="utf-8")
    os.environ["DATABRICKS_CONFIG_FILE"] = str(profile)


def request(url, body=None, raw=None):
    data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
    kind = "application/octet-stream" if raw is not None else "application/json"
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data, headers=headers), timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{url}: {error.code} {error.read().decode()}") from error


def upload(url, folder, path, file):
    """Puts a workspace file; it must not have a run bit."""
    request(f"{url}/api/2.0/workspace-files/import-file{path}?overwrite=true", raw=file.read_bytes())
    stored = folder / "data" / "workspace" / path.lstrip("/")
    if stored.stat().st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH):
        raise RuntimeError(f"the emulator keeps {path} with a run bit, which a workspace may not")


def deployed(job, tasks, files):
    """A job as the CLI would send it, with some of its tasks."""
    kept = []
    for task in job["tasks"]:
        if task["task_key"] not in tasks:
            continue
        depends = [on for on in task.get("depends_on", []) if on["task_key"] in tasks]
        python = {**task["spark_python_task"], "python_file": f"{files}/bundle/launcher.py"}
        kept.append({**task, "depends_on": depends, "spark_python_task": python})
    return {**job, "tasks": kept}


def run(url, job):
    created = request(f"{url}/api/2.2/jobs/create", job)
    started = request(f"{url}/api/2.2/jobs/run-now", {"job_id": created["job_id"]})
    until = time.monotonic() + SECONDS
    while True:
        now = request(f"{url}/api/2.2/jobs/runs/get?run_id={started['run_id']}")
        if now["state"]["life_cycle_state"] == "TERMINATED":
            break
        if time.monotonic() > until:
            raise RuntimeError(f"{job['name']} runs for more than {SECONDS} s")
        time.sleep(0.1)
    tasks = []
    for task in now["tasks"]:
        output = request(f"{url}/api/2.2/jobs/runs/get-output?run_id={task['run_id']}") if task.get("run_id") else {}
        state = task["state"]
        tasks.append(
            {
                "key": task["task_key"],
                "state": state.get("result_state") or state["life_cycle_state"],
                "logs": output.get("logs"),
                "error": output.get("error") or state.get("state_message"),
            }
        )
    return {"job": job["name"], "state": now["state"]["result_state"], "tasks": tasks}


def main():
    # The emulator greets on standard output: that is for the document alone.
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    root, binary, folder = (Path(argument).resolve() for argument in sys.argv[1:])
    plan = json.load(sys.stdin)
    # The workspace's path of the deployed files, and where the emulator keeps them: it mounts no /Workspace.
    files = bundle.Bundle(root, "dev").resolved("${workspace.file_path}")
    mounted = folder / "data" / "workspace" / files.lstrip("/")
    read = bundle.Bundle(root, "dev", {**plan.get("given", {}), "workspace.file_path": str(mounted)})
    url = serve(folder)
    log_in(folder, url)
    for path in ("bundle/launcher.py", "bundle/ops-runbook.toml"):
        upload(url, folder, f"{files}/{path}", root / path)
    for path, file in {"bundle/bin/ops-runbook": binary, **plan.get("files", {})}.items():
        upload(url, folder, f"{files}/{path}", Path(file))
    scope = read.resolved("${resources.secret_scopes.ops.name}")
    request(f"{url}/api/2.0/secrets/scopes/create", {"scope": scope})
    for key, value in plan.get("secrets", {}).items():
        request(f"{url}/api/2.0/secrets/put", {"scope": scope, "key": key, "string_value": value})
    jobs = {**read.resources["jobs"], **plan.get("more", {})}
    runs = [run(url, deployed(read.resolved(jobs[name]), tasks, files)) for name, tasks in plan["tasks"].items()]
    with result:
        json.dump(runs, result)


if __name__ == "__main__":
    main()
