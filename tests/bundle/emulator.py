"""Deploys jobs to MiniLake, an emulator of a workspace, runs some, and prints their results.

    emulator.py ROOT BINARY FOLDER < PLAN

ROOT: folder of databricks.yml. BINARY: the file deployed as bundle/bin/ops-runbook. FOLDER: storage of the workspace. PLAN: a
JSON object with these fields:

    jobs                   settings of the jobs by key, without references
    path                   workspace path of the deployed files
    catalog, schema, scope names of the catalog, schema and secret scope to create
    warehouse              placeholder of the warehouse id in the jobs
    tasks                  the tasks to run, by job
    order                  the jobs to run, in order, with repetitions (default: the order of tasks)
    files                  more workspace files, with their local paths
    secrets                secrets of the scope
    volume                 URL of the storage of a volume `lake`, if the workspace should have one

Prints a JSON object: `runs`, one object per run with job, start (milliseconds), state, and tasks with key, state, logs, error;
`tables`, the tables and views of the schema with their locations; `vended`, the number of credentials vended for the volume.
MiniLake runs a task with the python3 of PATH. Unlike Databricks, it does not retry and does not notify.
"""

import base64
import faulthandler
import json
import os
import re
import stat
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

HOST = "127.0.0.1"
TOKEN = "dapi00000000000000000000000000000000"
SECONDS = 300  # limit of one run, and of the start
SERVICES = "identity,workspace,secrets,jobs,clusters,sql_statements,sql_warehouses,unity_catalog"
REGISTERED = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) USING DELTA\s.*LOCATION '(s3://[^']+)'\s*", re.DOTALL)
MANAGED = re.compile(r'CREATE TABLE IF NOT EXISTS "(\w+)" \(\n(.*?)\n\) USING DELTA\n.*', re.DOTALL)
COLUMN = re.compile(r'^  "(\w+)" (\w+)', re.MULTILINE)
COPIED = re.compile(r'FROM delta\."/Volumes/[^"]*/(\w+)"')
COMMENTED = re.compile(r"(CREATE OR REPLACE VIEW \"\w+\") COMMENT '(?:[^']|'')*'(?=\s)")  # in the position that Databricks uses
KINDS = {"string": "STRING", "long": "BIGINT", "integer": "INT", "double": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP"}
ANSWERED = {"BIGINT": "LONG", "HUGEINT": "LONG", "INTEGER": "INT", "VARCHAR": "STRING", "TIMESTAMP WITH TIME ZONE": "TIMESTAMP"}


def serve(folder, store, vended, volume):
    """Starts MiniLake in a thread of this process, for the store of these variables. Returns its URL."""
    os.chdir(folder)  # it creates folders named after external locations
    os.environ.update(
        MINILAKE_DATA_DIR=str(folder / "data"),
        MINILAKE_JOB_EXECUTOR="subprocess",
        MINILAKE_SERVICES=SERVICES,
        MINILAKE_NOTEBOOK="0",
        MINILAKE_DUCKDB_EXTENSION_DIR=str(folder),  # prevents downloads
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        PYTHONDONTWRITEBYTECODE="1",
    )
    import uvicorn
    from minilake.app import create_app

    let_tasks_read_secrets()
    let_tables_be_registered(store, volume)
    if volume:
        let_credentials_be_vended(vended, volume)
    # The h11 parser keeps all request bodies; the emulator's own command uses it too.
    server = uvicorn.Server(uvicorn.Config(create_app(), host=HOST, port=0, log_level="error", http="h11"))
    threading.Thread(target=server.run, daemon=True).start()
    until = time.monotonic() + SECONDS
    while not server.started:
        if time.monotonic() > until:
            raise RuntimeError("the emulator did not start")
        time.sleep(0.05)
    return f"http://{HOST}:{server.servers[0].sockets[0].getsockname()[1]}"


def let_tasks_read_secrets():
    """Adds the API to read secrets, which MiniLake lacks. Databricks serves it to tasks that may read the scope."""
    from minilake.services import secrets

    async def get_secret(scope: str, key: str):
        value = secrets.resolve_secret_value(scope, key)
        return {"key": key, "value": base64.b64encode(value.encode()).decode()}

    secrets.router.routes[:] = [route for route in secrets.router.routes if not route.path.endswith("/secrets/get")]
    secrets.router.get("/get")(get_secret)


def let_credentials_be_vended(vended, location):
    """Adds ids, storage and vended credentials to volumes, which are plain folders in MiniLake.

    All volumes have the same storage location. The store's emulator accepts any keys. Requests for credentials are added to
    `vended`.
    """
    from minilake.services import identity, unity_catalog

    volume_id = "8a5c9a0e-0000-0000-0000-000000000001"
    found = unity_catalog.get_volume

    async def get_volume(full_name: str):
        volume = await found(full_name)
        return {**volume.model_dump(), "volume_id": volume_id, "storage_location": location}

    async def vend(asked: dict):
        if asked != {"volume_id": volume_id, "operation": "WRITE_VOLUME"}:
            raise ValueError(f"no credentials for {asked}")
        vended.append(asked)
        keys = {"access_key_id": "vended", "secret_access_key": "vended", "session_token": "vended"}
        return {"aws_temp_credentials": keys, "expiration_time": int(time.time() + 3600) * 1000, "url": location}

    routes = unity_catalog.router.routes
    routes[:] = [route for route in routes if route.endpoint is not found]
    unity_catalog.router.get("/volumes/{full_name}")(get_volume)
    identity.router.post("/unity-catalog/temporary-volume-credentials")(vend)


def let_tables_be_registered(store, volume):
    """Adds statements that MiniLake does not support: tables without columns in the statement, which Databricks reads from the
    table's log; comments of columns and views; and Delta tables of the URL `volume` at /Volumes.

    MiniLake reads no object store, so registered tables are empty tables with the right columns. Its answers have DuckDB's type
    names and values, which are converted to those of Databricks.
    """
    from minilake.models.unity_catalog import ColumnInfo, CreateTableRequest
    from minilake.services import sql_statements, unity_catalog

    execute = sql_statements._execute_sql_real_typed

    async def make(warehouse, catalog, schema, name, columns, **kind):
        if f"{catalog}.{schema}.{name}" not in unity_catalog._state["tables"]:
            columns = [ColumnInfo(name=column, type_text=text) for column, text in columns]
            request = CreateTableRequest(
                name=name, catalog_name=catalog, schema_name=schema, data_source_format="DELTA", columns=columns, **kind
            )
            await unity_catalog.create_table(request)
            listed = ", ".join(f'"{column.name}" {column.type_text}' for column in columns)
            await execute(warehouse, f'CREATE TABLE IF NOT EXISTS "{name}" ({listed})', catalog, schema)
        return [], [], []

    async def run(warehouse, sql, catalog=None, schema=None):
        sql = sql_statements._debacktick_identifiers(sql)
        if found := REGISTERED.fullmatch(sql.replace('"', "")):
            name, location = found.groups()
            columns = [(field["name"], KINDS[field["type"]]) for field in schema_of(actions(store, location))]
            return await make(warehouse, catalog, schema, name, columns, table_type="EXTERNAL", storage_location=location)
        if found := MANAGED.fullmatch(sql):
            name, columns = found.groups()
            return await make(warehouse, catalog, schema, name, COLUMN.findall(columns), table_type="MANAGED")
        if found := COPIED.search(sql):
            files = fetched(store, f"{volume}/{found[1]}")
            if not files:
                return [], [], []
            sql = COPIED.sub(f"FROM read_parquet({files})", sql)
        columns, types, rows = await execute(warehouse, COMMENTED.sub(r"\1", sql, count=1), catalog, schema)
        return columns, [ANSWERED.get(kind, kind) for kind in types], [[as_text(cell) for cell in row] for row in rows]

    sql_statements._execute_sql_real_typed = run


def as_text(cell):
    """Returns a cell of an answer as text, as Databricks sends it. MiniLake sends other JSON types."""
    return json.dumps(cell) if isinstance(cell, (bool, int, float)) else cell


def files_of(store):
    """Returns the object store of these variables."""
    from pyarrow.fs import S3FileSystem

    scheme, _, endpoint = store["AWS_ENDPOINT_URL"].partition("://")
    return S3FileSystem(
        access_key=store["AWS_ACCESS_KEY_ID"],
        secret_key=store["AWS_SECRET_ACCESS_KEY"],
        region=store["AWS_REGION"],
        scheme=scheme,
        endpoint_override=endpoint,
    )


def actions(store, location):
    """Yields the actions of a Delta table's log from its first commit."""
    from pyarrow.fs import FileSelector

    files = files_of(store)
    log = files.get_file_info(FileSelector(f"{location.removeprefix('s3://')}/_delta_log"))
    for path in sorted(info.path for info in log if info.path.endswith(".json")):
        with files.open_input_stream(path) as commit:
            yield from (json.loads(line) for line in commit.read().splitlines())


def schema_of(actions):
    (metadata,) = [action["metaData"] for action in actions if "metaData" in action]
    return json.loads(metadata["schemaString"])["fields"]


def fetched(store, location):
    """Returns the paths of local copies of a Delta table's current files."""
    live = set()
    for action in actions(store, location):
        if "add" in action:
            live.add(action["add"]["path"])
        if "remove" in action:
            live.discard(action["remove"]["path"])
    folder = Path("fetched", location.rpartition("/")[2])
    folder.mkdir(parents=True, exist_ok=True)
    files = files_of(store)
    for name in sorted(live):
        target = folder / name.replace("/", "-")
        if not target.exists():
            with files.open_input_stream(f"{location.removeprefix('s3://')}/{name}") as file:
                target.write_bytes(file.read())
    return [str((folder / name.replace("/", "-")).resolve()) for name in sorted(live)]


def furnish(url, catalog, schema, volume):
    """Creates what the bundle expects: a catalog, the schema, a volume, and a warehouse. Returns the id of the warehouse."""
    request(f"{url}/api/2.1/unity-catalog/catalogs", {"name": catalog})
    request(f"{url}/api/2.1/unity-catalog/schemas", {"catalog_name": catalog, "name": schema})
    if volume:
        request(f"{url}/api/2.1/unity-catalog/volumes", {"catalog_name": catalog, "schema_name": schema, "name": "lake"})
    warehouse = {"name": "test", "cluster_size": "2X-Small"}
    return request(f"{url}/api/2.0/sql/warehouses", warehouse)["id"]


def log_in(folder, url):
    """Writes a profile with the credentials, and removes all credentials from the environment of tasks."""
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
        with urllib.request.urlopen(urllib.request.Request(url, data=data, headers=headers), timeout=SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{url}: {error.code} {error.read().decode()}") from error


def upload(url, folder, path, file):
    """Uploads a workspace file, which must not be executable."""
    request(f"{url}/api/2.0/workspace-files/import-file{path}?overwrite=true", raw=file.read_bytes())
    stored = folder / "data" / "workspace" / path.lstrip("/")
    if stored.stat().st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH):
        raise RuntimeError(f"the emulator stores {path} as executable, unlike a workspace")


def deployed(job, tasks, files):
    """Returns a job as the CLI sends it, with some of its tasks."""
    kept = []
    for task in job["tasks"]:
        if task["task_key"] not in tasks:
            continue
        depends = [on for on in task.get("depends_on", []) if on["task_key"] in tasks]
        python = {**task["spark_python_task"], "python_file": f"{files}/bundle/launcher.py"}
        kept.append({**task, "depends_on": depends, "spark_python_task": python})
    return {**job, "tasks": kept}


def run(url, name, job_id):
    started = request(f"{url}/api/2.2/jobs/run-now", {"job_id": job_id})
    until = time.monotonic() + SECONDS
    while True:
        now = request(f"{url}/api/2.2/jobs/runs/get?run_id={started['run_id']}")
        if now["state"]["life_cycle_state"] == "TERMINATED":
            break
        if time.monotonic() > until:
            raise RuntimeError(f"{name} has not finished in {SECONDS} s")
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
    return {"job": name, "start": now["start_time"], "state": now["state"]["result_state"], "tasks": tasks}


def main():
    # The emulator prints a greeting on standard output, which must have only the JSON document.
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    root, binary, folder = (Path(argument).resolve() for argument in sys.argv[1:])
    plan = json.load(sys.stdin)
    # Ends the process if a thread hangs.
    faulthandler.dump_traceback_later(SECONDS * (2 + len(plan.get("order", plan["tasks"]))), exit=True)
    # The emulator does not mount /Workspace, so jobs use the paths of its storage.
    files = plan["path"]
    mounted = folder / "data" / "workspace" / files.lstrip("/")
    secrets = plan.get("secrets", {})
    vended, volume = [], plan.get("volume")
    url = serve(folder, secrets, vended, volume)
    log_in(folder, url)
    warehouse = furnish(url, plan["catalog"], plan["schema"], volume)
    jobs = json.loads(json.dumps(plan["jobs"]).replace(files, str(mounted)).replace(plan["warehouse"], warehouse))
    for path in ("bundle/launcher.py", "bundle/ops-runbook.toml"):
        upload(url, folder, f"{files}/{path}", root / path)
    for path, file in {"bundle/bin/ops-runbook": binary, **plan.get("files", {})}.items():
        upload(url, folder, f"{files}/{path}", Path(file))
    request(f"{url}/api/2.0/secrets/scopes/create", {"scope": plan["scope"]})
    for key, value in secrets.items():
        request(f"{url}/api/2.0/secrets/put", {"scope": plan["scope"], "key": key, "string_value": value})
    ids, names = {}, {}
    for name, tasks in plan["tasks"].items():
        job = deployed(jobs[name], tasks, files)
        ids[name], names[name] = request(f"{url}/api/2.2/jobs/create", job)["job_id"], job["name"]
    runs = [run(url, names[name], ids[name]) for name in plan.get("order", plan["tasks"])]
    listed = request(f"{url}/api/2.1/unity-catalog/tables?catalog_name={plan['catalog']}&schema_name={plan['schema']}")["tables"]
    with result:
        tables = {table["name"]: table.get("storage_location") for table in listed}
        json.dump({"runs": runs, "tables": tables, "vended": len(vended)}, result)


if __name__ == "__main__":
    main()
