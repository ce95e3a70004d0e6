"""Runs the ops-runbook binary as a task of a Databricks job, on serverless or classic compute, or as a Databricks App.

    launcher.py --binary FILE [OPTION ...] -- ARGUMENT ...

A spark_python_task can start only Python, a workspace file may lack its executable bit, and a file of an app may not be larger
than 10 MB. The binary is therefore deployed in parts, one set for each processor. The launcher joins the parts for its machine on
local disk and runs the result as a subprocess. It passes the arguments after `--` unchanged; the subprocess's output is the output
of the task. Any exit code except 0 fails the task, including 6 (try again). The job may then retry the task: each request is
recorded only once.

    --binary FILE       the binary; if there is no such file, it is joined from FILE-PROCESSOR.gz.00, FILE-PROCESSOR.gz.01 ...;
                        PROCESSOR is x86_64 or aarch64
    --fill NAME         replaces $NAME in the binary's arguments with the environment variable NAME; apps start without a shell
    --env NAME=VALUE    sets an environment variable of the binary; serverless compute has no setting for that
    --scope SCOPE       the secret scope of --secret and --secrets
    --secret KEY        passes the secret KEY as the environment variable KEY; the task fails if the secret is missing
    --secrets PATTERNS  passes all secrets whose keys match one of these patterns, separated by commas, such as AWS_*; a pattern
                        may match none

The binary gets the host and the credentials of the task's identity (DATABRICKS_HOST, DATABRICKS_TOKEN). It gets those of a
service principal if DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET are among the variables or secrets. Secrets are never passed
as arguments, and are removed from the output.
"""

import argparse
import contextlib
import fnmatch
import gzip
import io
import os
import platform
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zlib
from collections import deque
from pathlib import Path

TRY_AGAIN = 6
GRACE_SECONDS = 20  # between SIGTERM and SIGKILL for the binary
TAIL_LINES = 20  # of standard error, repeated in the task's error
SHORTEST_SECRET = 8  # masking shorter ones would hide ordinary words
PROCESSORS = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
HINT = "create it with `ops-runbook bundle init` or bundle/build, then deploy again"


class LauncherError(Exception):
    """The reason why the task fails. Databricks shows the text as the task's error."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):  # the default exits the interpreter, which Databricks may treat as success
        raise LauncherError(f"invalid parameters of the launcher: {message}")


def parse(argv):
    """Returns the launcher's own options and the binary's arguments."""
    parser = _Parser(prog="launcher.py", add_help=False, allow_abbrev=False)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--scope")
    parser.add_argument("--secret", action="append", default=[])
    parser.add_argument("--secrets", default="")
    parser.add_argument("--fill", action="append", default=[])
    if "--" not in argv:
        parser.error("missing -- before the binary's arguments")
    end = argv.index("--")
    options = parser.parse_args(argv[:end])
    options.secrets = [pattern.strip() for pattern in options.secrets.split(",") if pattern.strip()]
    if not all(name and separator for name, separator, _ in (pair.partition("=") for pair in options.env)):
        parser.error("--env takes NAME=VALUE")
    if options.scope is None and (options.secret or options.secrets):
        parser.error("--secret and --secrets need --scope")
    return options, filled(argv[end + 1 :], options.fill)


def filled(arguments, names):
    """Returns the arguments with the values of the named environment variables filled in."""
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise LauncherError(f"the environment variable {missing[0]}, named by --fill, is not set")
    for name in names:
        arguments = [argument.replace(f"${name}", os.environ[name]) for argument in arguments]
    return arguments


def workspace():
    """Returns a client of the task's workspace, or None without a workspace, as in tests."""
    try:
        from databricks.sdk import WorkspaceClient
    except ImportError:
        return None
    try:
        return WorkspaceClient()
    except ValueError as error:
        log(f"no credentials of a workspace found: {error}")
        return None


def secrets(options, client):
    """Returns the requested secrets by key."""
    if options.scope is None:
        return {}
    if client is None:
        raise LauncherError("secrets are requested, but there is no workspace to read them from")
    store = client.dbutils.secrets
    try:
        there = [secret.key for secret in store.list(options.scope)]
        missing = [key for key in options.secret if key not in there]
        if missing:
            raise LauncherError(
                f"the secret scope {options.scope} has no secret {', '.join(missing)}; "
                f"add it: databricks secrets put-secret {options.scope} {missing[0]}"
            )
        wanted = [*options.secret, *options.secrets]
        keys = [key for key in there if any(fnmatch.fnmatchcase(key, pattern) for pattern in wanted)]
        return {key: store.get(options.scope, key) for key in keys}
    except LauncherError:
        raise
    except Exception as error:  # the SDK and the runtime raise different classes
        raise LauncherError(f"cannot read the secret scope {options.scope}: {error}") from error


def credentials(environment, client):
    """Returns the environment variables that log the binary in to the workspace. Variables to be removed are None."""
    if client is None:
        return {}
    found = {"DATABRICKS_HOST": client.config.host, "DATABRICKS_AUTH_TYPE": None, "DATABRICKS_CONFIG_PROFILE": None}
    if environment.get("DATABRICKS_CLIENT_ID") and environment.get("DATABRICKS_CLIENT_SECRET"):
        return {**found, "DATABRICKS_TOKEN": None, "DATABRICKS_AUTH_TYPE": "oauth-m2m"}
    scheme, _, token = client.config.authenticate().get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        log("the workspace's credentials are not a bearer token; the binary gets no credentials")
        return found
    return {**found, "DATABRICKS_TOKEN": token, "DATABRICKS_AUTH_TYPE": "pat"}


def environment_for(options, client):
    """Returns the binary's environment, and the secret values in it."""
    secret = secrets(options, client)
    given = {**os.environ, **dict(pair.split("=", 1) for pair in options.env), **secret}
    entry = credentials(given, client)
    environment = {name: value for name, value in {**given, **entry}.items() if value is not None}
    hidden = [*secret.values(), environment.get("DATABRICKS_TOKEN"), environment.get("DATABRICKS_CLIENT_SECRET")]
    return environment, hidden


def masks(values):
    """Returns the texts to mask: every line of every secret, the longest first."""
    lines = {line.strip() for value in values if value for line in value.splitlines()}
    return sorted((line for line in lines if len(line) >= SHORTEST_SECRET), key=len, reverse=True)


def masked(text, hidden):
    for secret in hidden:
        text = text.replace(secret, "[REDACTED]")
    return text


class _Parts(io.RawIOBase):
    """A stream of several files, read one after the other."""

    def __init__(self, paths):
        self.paths = iter(paths)
        self.file = None

    def readable(self):
        return True

    def readinto(self, buffer):
        while True:
            if self.file is None:
                path = next(self.paths, None)
                if path is None:
                    return 0
                self.file = path.open("rb", buffering=0)
            count = self.file.readinto(buffer)
            if count:
                return count
            self.file.close()
            self.file = None

    def close(self):
        if self.file is not None:
            self.file.close()
        super().close()


def parts_for(binary, machine):
    """Returns the parts of the binary for a machine, in order. Never empty."""
    found = {}
    for part in sorted(binary.parent.glob(f"{binary.name}-*.gz.*")):
        found.setdefault(part.name.removeprefix(f"{binary.name}-").partition(".gz.")[0], []).append(part)
    parts = found.get(PROCESSORS.get(machine.lower()))
    if parts:
        return parts
    others = f"only for {' and '.join(found)}" if found else "and none for another processor"
    raise LauncherError(f"this machine is {machine}; {binary.parent} has no binary for it, {others}; {HINT}")


def copied(binary, folder):
    """Returns the path of an executable copy in the folder."""
    local = folder / "ops-runbook"
    try:
        if binary.exists():
            shutil.copyfile(binary, local)
        else:
            parts = parts_for(binary, platform.machine())
            with io.BufferedReader(_Parts(parts)) as joined, gzip.open(joined) as packed, local.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LauncherError(f"the parts {parts[0].stem}.* are incomplete or damaged: {error}; {HINT}") from error
    except OSError as error:
        raise LauncherError(f"cannot read the binary {binary}: {error.strerror}; {HINT}") from error
    local.chmod(0o700)
    return local


@contextlib.contextmanager
def forwarding(process):
    """Forwards SIGTERM, which a cancelled run gets, to the binary. Yields the list of received signals."""
    received = []

    def forward(number, _frame):
        received.append(number)
        process.terminate()
        if len(received) == 1:
            last.start()

    if threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread gets signals
        return
    last = threading.Timer(GRACE_SECONDS, process.kill)
    last.daemon = True
    before = signal.signal(signal.SIGTERM, forward)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
        last.cancel()


def stream(process, hidden):
    """Forwards the binary's output until both streams are closed. Returns the end of standard error.

    Only this thread writes: a notebook's kernel may lose the output of other threads.
    """
    lines = queue.Queue()

    def read(pipe, target):
        for line in pipe:
            lines.put((target, line))
        lines.put((target, None))

    for pipe, target in ((process.stdout, "stdout"), (process.stderr, "stderr")):
        threading.Thread(target=read, args=(pipe, target), daemon=True).start()
    tail = deque(maxlen=TAIL_LINES)
    reading = 2
    while reading:
        target, line = lines.get()
        if line is None:
            reading -= 1
            continue
        text = masked(line.decode("utf-8", errors="replace"), hidden)
        output = getattr(sys, target)
        output.write(text)
        output.flush()
        if target == "stderr":
            tail.append(text)
    return "".join(tail).strip()


def stopped(process):
    """Stops the binary if it still runs."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(binary, arguments, environment, hidden):
    """Runs the binary and waits for its exit."""
    try:
        process = subprocess.Popen(
            [binary, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        reason = f"it is built for Linux, and this machine is {platform.machine()} {platform.system()}"
        raise LauncherError(f"cannot run the binary: {error.strerror}; {reason}") from error
    with process.stdout, process.stderr:
        try:
            with forwarding(process) as received:
                tail = stream(process, hidden)
                code = process.wait()
        finally:
            stopped(process)
    if received:
        raise LauncherError(f"the run was cancelled, and ops-runbook {ending(code)}")
    if code != 0:
        raise LauncherError("\n".join(filter(None, [f"ops-runbook {ending(code)}", tail])))


def ending(code):
    if code == TRY_AGAIN:
        return f"exited with code {code} (try again): a retry of the task runs it again"
    if code < 0:
        return f"was stopped by signal {-code}"
    return f"exited with code {code}"


def log(text):
    print(f"launcher: {text}", file=sys.stderr, flush=True)


def main(argv):
    options, arguments = parse(argv)
    environment, values = environment_for(options, workspace())
    with tempfile.TemporaryDirectory(prefix="ops-runbook-") as folder:
        run(copied(options.binary, Path(folder)), arguments, environment, masks(values))


if __name__ == "__main__":
    main(sys.argv[1:])
