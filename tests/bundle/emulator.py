"""Deploys jobs to MiniLake, an emulator of a workspace, runs some, and prints their results.

    emulator.py ROOT BINARY FOLDER < PLAN

ROOT: folder of databricks.yml. BINARY: what is deployed as bundle/bin/ops-runbook. FOLDER: where the workspace is kept. PLAN: a
JSON object with `jobs`, their settings by key, without references; `path`, the workspace path of the deployed files; `catalog`,
`schema` and `scope`, the names of what is made for them; `warehouse`, which stands in the jobs for the id of a warehouse; `tasks`,
the tasks of each job to run; `order`, the jobs in the order in which they are run, each as often as it is named (as in `tasks`
unless given); `files`, more workspace files and the local ones they are made of; `secrets`; `volume`, the URL of the storage of a
volume `lake`, if there is to be one.

Prints a JSON object: `runs`, one object per run with job, start (milliseconds), state, and tasks with their key, state, logs,
error; `tables`, the names of what the schema holds then, with their locations; `vended`, how often credentials for the volume were
asked for. MiniLake runs a task by the python3 of PATH and
leaves out what Databricks would do next: retries, notifications.
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
SECONDS = 300  # the limit for one run, and for the start
SERVICES = "identity,workspace,secrets,jobs,clusters,sql_statements,sql_warehouses,unity_catalog"
REGISTERED = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) USING DELTA\s.*LOCATION '(s3://[^']+)'\s*", re.DOTALL)
MANAGED = re.compile(r'CREATE TABLE IF NOT EXISTS "(\w+)" \(\n(.*?)\n\) USING DELTA\n.*', re.DOTALL)
COLUMN = re.compile(r'^  "(\w+)" (\w+)', re.MULTILINE)
COPIED = re.compile(r'FROM delta\."/Volumes/[^"]*/(\w+)"')
COMMENTED = re.compile(r"(CREATE OR REPLACE VIEW \"\w+\") COMMENT '(?:[^']|'')*'(?=\s)")  # in the middle, as Databricks has it
KINDS = {"string": "STRING", "long": "BIGINT", "integer": "INT", "double": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP"}
ANSWERED = {"BIGINT": "LONG", "HUGEINT": "LONG", "INTEGER": "INT", "VARCHAR": "STRING", "TIMESTAMP WITH TIME ZONE": "TIMESTAMP"}


def serve(folder, store, vended, volume):
    """MiniLake in a thread of this process, for a store that these variables lead to; returns its URL."""
    os.chdir(folder)  # it makes folders named as external locations
    os.environ.update(
        MINILAKE_DATA_DIR=str(folder / "data"),
        MINILAKE_JOB_EXECUTOR="subprocess",
        MINILAKE_SERVICES=SERVICES,
        MINILAKE_NOTEBOOK="0",
        MINILAKE_DUCKDB_EXTENSION_DIR=str(folder),  # nothing is fetched
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        PYTHONDONTWRITEBYTECODE="1",
    )
    import uvicorn
    from minilake.app import create_app

    let_tasks_read_secrets()
    let_tables_be_registered(store, volume)
    if volume:
        let_credentials_be_vended(vended, volume)
    # Its parser drops no body of a request; the emulator's own command asks for the same one.
    server = uvicorn.Server(uvicorn.Config(create_app(), host=HOST, port=0, log_level="error", http="h11"))
    threading.Thread(target=server.run, daemon=True).start()
    until = time.monotonic() + SECONDS
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


def let_credentials_be_vended(vended, location):
    """MiniLake's volumes are folders, without an id or storage, and it gives no credentials for them.

    Here the storage of each is one place in the store, whose emulator takes any keys. Each request for credentials is put into
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
    """MiniLake registers tables only whose columns stand in the statement, where Databricks takes them from the table's log; it
    knows no comments of columns and views, and no Delta table in the URL `volume`, which its SQL finds at /Volumes.

    It reads no object store, so that views of registered tables stand on empty tables with these columns. Its answers have the
    types' names and the cells of DuckDB, and are put as Databricks puts them.
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
    """A cell of an answer: Databricks sends texts, MiniLake JSON's own kinds."""
    return json.dumps(cell) if isinstance(cell, (bool, int, float)) else cell


def files_of(store):
    """The object store, and the path in it that a URL has."""
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
    """The actions of a Delta table's log, from its first commit on."""
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
    """Local copies of a Delta table's files, as they are now."""
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
    """What the bundle expects to find: a catalog with the schema, a volume, and a warehouse, whose id is returned."""
    request(f"{url}/api/2.1/unity-catalog/catalogs", {"name": catalog})
    request(f"{url}/api/2.1/unity-catalog/schemas", {"catalog_name": catalog, "name": schema})
    if volume:
        request(f"{url}/api/2.1/unity-catalog/volumes", {"catalog_name": catalog, "schema_name": schema, "name": "lake"})
    warehouse = {"name": "test", "cluster_size": "2X-Small"}
    return request(f"{url}/api/2.0/sql/warehouses", warehouse)["id"]


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
        with urllib.request.urlopen(urllib.request.Request(url, data=data, headers=headers), timeout=SECONDS) as answer:
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


def run(url, name, job_id):
    started = request(f"{url}/api/2.2/jobs/run-now", {"job_id": job_id})
    until = time.monotonic() + SECONDS
    while True:
        now = request(f"{url}/api/2.2/jobs/runs/get?run_id={started['run_id']}")
        if now["state"]["life_cycle_state"] == "TERMINATED":
            break
        if time.monotonic() > until:
            raise RuntimeError(f"{name} runs for more than {SECONDS} s")
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
    # The emulator greets on standard output: that is for the document alone.
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    root, binary, folder = (Path(argument).resolve() for argument in sys.argv[1:])
    plan = json.load(sys.stdin)
    # A thread that hangs would keep the process alive.
    faulthandler.dump_traceback_later(SECONDS * (2 + len(plan.get("order", plan["tasks"]))), exit=True)
    # The emulator mounts no /Workspace: the files are where it keeps them.
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
