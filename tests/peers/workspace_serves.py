"""Runs an emulator of a workspace until standard input ends: workspace_serves.py minilake|semblance TOKEN.

Prints its address as one line of JSON. By then, minilake has run a failed and a successful job; semblance has its own jobs.
"""

import base64
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

TOKEN = sys.argv[2]
LIMIT = 150
ATTEMPTS = 5


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def call(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return json.load(answer)


def wait_for(what):
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            found = what()
            if found:
                return found
        except (OSError, urllib.error.URLError):
            pass
        time.sleep(0.1)
    raise SystemExit(f"the emulator has not answered for {LIMIT} seconds")


def run_jobs(url):
    """Runs a job that fails and one that succeeds. Returns their run ids."""
    ran = {}
    for name, code in [("broken", "raise ValueError('no such column: amount')"), ("whole", "print('done')")]:
        file = f"/Shared/{name}.py"
        content = base64.b64encode(code.encode()).decode()
        call(f"{url}/api/2.0/workspace/import", {"path": file, "content": content, "format": "AUTO", "overwrite": True})
        task = {"task_key": "main", "spark_python_task": {"python_file": file}, "max_retries": 0}
        job = call(f"{url}/api/2.2/jobs/create", {"name": name, "tasks": [task]})["job_id"]
        run = call(f"{url}/api/2.2/jobs/run-now", {"job_id": job})["run_id"]
        ran[name] = str(run)
        final = {"TERMINATED", "INTERNAL_ERROR", "SKIPPED"}
        wait_for(
            lambda: call(f"{url}/api/2.2/jobs/runs/get?run_id={run}")["state"]["life_cycle_state"] in final
        )
    return ran


def start(kind, folder):
    """Starts an emulator. Returns its process and its address when it answers."""
    programs = pathlib.Path(sys.executable).parent
    for _ in range(ATTEMPTS):
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        if kind == "minilake":
            command = [programs / "minilake", "--port", str(port)]
            health = f"{url}/_minilake/health"
        else:
            command = [programs / "semblance-databricks", "serve", "--port", str(port), "--auth", "strict", "--token", TOKEN]
            health = f"{url}/api/2.2/jobs/list?limit=1"
        environment = {**os.environ, "MINILAKE_JOB_EXECUTOR": "subprocess"}
        # The emulator's output goes to standard error, because standard output has the address.
        server = subprocess.Popen(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        wait_for(lambda: server.poll() is not None or call(health))
        # The emulator exits if another process has taken the port; that process may have answered.
        if server.poll() is None:
            return server, url
    raise SystemExit(f"the emulator exited {ATTEMPTS} times")


def main():
    kind = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        server, url = start(kind, folder)
        try:
            ready = {"url": url}
            if kind == "minilake":
                ready.update(run_jobs(url))
            print(json.dumps(ready), flush=True)
            sys.stdin.read()
        finally:
            server.terminate()
            server.wait()


main()
