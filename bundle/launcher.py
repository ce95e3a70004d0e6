"""Runs the ops-runbook binary as a task of a Databricks job, on serverless or classic compute, or as a Databricks App.

    launcher.py --binary FILE [OPTION ...] -- ARGUMENT ...

A spark_python_task can start Python only, a workspace file may have lost its run bit, and no file of an app may be larger than
10 MB. So the binary is deployed in parts, one set for each processor. The launcher puts the parts for its machine together on
local disk, and runs the result as a subprocess. What stands behind `--` reaches it as it is; its output is the output of the
task. Any exit code but 0 fails the task, 6 (try again) too: the job's retry runs the same again, and what was recorded already is
recorded once.

    --binary FILE       the binary; or, where there is no such file, what FILE-PROCESSOR.gz.00, FILE-PROCESSOR.gz.01 ... are the
                        parts of; PROCESSOR is x86_64 or aarch64
    --fill NAME         $NAME in the binary's arguments becomes what the variable NAME is here; apps are started without a shell
    --env NAME=VALUE    a variable for its environment; serverless compute has no setting for that
    --scope SCOPE       the secret scope that --secret and --secrets read
    --secret KEY        the secret KEY as the variable KEY; the task fails if there is none
    --secrets PATTERNS  every secret whose key matches one of these, separated by commas, such as AWS_*; there may be none

The binary gets the workspace and the credentials of whom the task runs as (DATABRICKS_HOST, DATABRICKS_TOKEN); or those of a
service principal, when DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET are among the variables or secrets. No secret is an
argument, and none that is handed over is let through to the output.
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
GRACE_SECONDS = 20  # between asking the binary to end and ending it
TAIL_LINES = 20  # of standard error, repeated in the task's error
SHORTEST_SECRET = 8  # shorter ones would blank out ordinary words
PROCESSORS = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
HINT = "make it with `ops-runbook bundle init` or bundle/build, and deploy again"


class LauncherError(Exception):
    """Why the task fails. Databricks shows the text as the task's error."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):  # the default ends the interpreter, which Databricks may take for success
        raise LauncherError(f"the launcher's parameters are wrong: {message}")


def parse(argv):
    """The launcher's own options, and the binary's arguments."""
    parser = _Parser(prog="launcher.py", add_help=False, allow_abbrev=False)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--scope")
    parser.add_argument("--secret", action="append", default=[])
    parser.add_argument("--secrets", default="")
    parser.add_argument("--fill", action="append", default=[])
    if "--" not in argv:
        parser.error("there is no -- before the binary's arguments")
    end = argv.index("--")
    options = parser.parse_args(argv[:end])
    options.secrets = [pattern.strip() for pattern in options.secrets.split(",") if pattern.strip()]
    if not all(name and separator for name, separator, _ in (pair.partition("=") for pair in options.env)):
        parser.error("--env takes NAME=VALUE")
    if options.scope is None and (options.secret or options.secrets):
        parser.error("--secret and --secrets need --scope")
    return options, filled(argv[end + 1 :], options.fill)


def filled(arguments, names):
    """The arguments with the values of some variables in them."""
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise LauncherError(f"there is no variable {missing[0]}, which --fill names")
    for name in names:
        arguments = [argument.replace(f"${name}", os.environ[name]) for argument in arguments]
    return arguments


def workspace():
    """A client of the workspace the task runs in, or None where there is none, as in tests."""
    try:
        from databricks.sdk import WorkspaceClient
    except ImportError:
        return None
    try:
        return WorkspaceClient()
    except ValueError as error:
        tell(f"no credentials of a workspace were found: {error}")
        return None


def secrets(options, client):
    """The secrets that were asked for, by key."""
    if options.scope is None:
        return {}
    if client is None:
        raise LauncherError("secrets were asked for, but there is no workspace to ask for them")
    store = client.dbutils.secrets
    try:
        there = [secret.key for secret in store.list(options.scope)]
        missing = [key for key in options.secret if key not in there]
        if missing:
            raise LauncherError(
                f"the secret scope {options.scope} lacks {', '.join(missing)}; "
                f"put it there: databricks secrets put-secret {options.scope} {missing[0]}"
            )
        wanted = [*options.secret, *options.secrets]
        keys = [key for key in there if any(fnmatch.fnmatchcase(key, pattern) for pattern in wanted)]
        return {key: store.get(options.scope, key) for key in keys}
    except LauncherError:
        raise
    except Exception as error:  # SDK and runtime raise different classes
        raise LauncherError(f"the secret scope {options.scope} cannot be read: {error}") from error


def credentials(environment, client):
    """The variables that let the binary into the workspace, and those that would point it elsewhere as None."""
    if client is None:
        return {}
    found = {"DATABRICKS_HOST": client.config.host, "DATABRICKS_AUTH_TYPE": None, "DATABRICKS_CONFIG_PROFILE": None}
    if environment.get("DATABRICKS_CLIENT_ID") and environment.get("DATABRICKS_CLIENT_SECRET"):
        return {**found, "DATABRICKS_TOKEN": None, "DATABRICKS_AUTH_TYPE": "oauth-m2m"}
    scheme, _, token = client.config.authenticate().get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        tell("the workspace's credentials are no bearer token; the binary gets none")
        return found
    return {**found, "DATABRICKS_TOKEN": token, "DATABRICKS_AUTH_TYPE": "pat"}


def environment_for(options, client):
    """The binary's environment, and the values in it that must not be seen."""
    secret = secrets(options, client)
    given = {**os.environ, **dict(pair.split("=", 1) for pair in options.env), **secret}
    entry = credentials(given, client)
    environment = {name: value for name, value in {**given, **entry}.items() if value is not None}
    hidden = [*secret.values(), environment.get("DATABRICKS_TOKEN"), environment.get("DATABRICKS_CLIENT_SECRET")]
    return environment, hidden


def masks(values):
    """What to blank out: every line of every secret, the longest first."""
    lines = {line.strip() for value in values if value for line in value.splitlines()}
    return sorted((line for line in lines if len(line) >= SHORTEST_SECRET), key=len, reverse=True)


def masked(text, hidden):
    for secret in hidden:
        text = text.replace(secret, "[REDACTED]")
    return text


class _Parts(io.RawIOBase):
    """Files read one after the other, as one."""

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
    """The parts of the binary for a machine, in order. Never empty."""
    found = {}
    for part in sorted(binary.parent.glob(f"{binary.name}-*.gz.*")):
        found.setdefault(part.name.removeprefix(f"{binary.name}-").partition(".gz.")[0], []).append(part)
    parts = found.get(PROCESSORS.get(machine.lower()))
    if parts:
        return parts
    there = f"only one for {' and '.join(found)}" if found else "none at all"
    raise LauncherError(f"this machine is {machine}, and {binary.parent} has no binary for it, {there}; {HINT}")


def copied(binary, folder):
    """A copy that can be run."""
    local = folder / "ops-runbook"
    try:
        if binary.exists():
            shutil.copyfile(binary, local)
        else:
            parts = parts_for(binary, platform.machine())
            with io.BufferedReader(_Parts(parts)) as joined, gzip.open(joined) as packed, local.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LauncherError(f"the parts {parts[0].stem}.* do not belong together: {error}; {HINT}") from error
    except OSError as error:
        raise LauncherError(f"the binary {binary} cannot be read: {error.strerror}; {HINT}") from error
    local.chmod(0o700)
    return local


@contextlib.contextmanager
def forwarding(process):
    """SIGTERM, which a cancelled run gets, is the binary's too. Yields the signals that came."""
    came = []

    def forward(number, _frame):
        came.append(number)
        process.terminate()
        if len(came) == 1:
            last.start()

    if threading.current_thread() is not threading.main_thread():
        yield came  # only the main thread gets signals
        return
    last = threading.Timer(GRACE_SECONDS, process.kill)
    last.daemon = True
    before = signal.signal(signal.SIGTERM, forward)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)
        last.cancel()


def stream(process, hidden):
    """Passes on what the binary prints until it has closed both outputs; returns the end of standard error.

    Only this thread writes: what other threads print may be lost in a notebook's kernel.
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
    """Ends the binary if it still runs."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(binary, arguments, environment, hidden):
    """Runs the binary to its end."""
    try:
        process = subprocess.Popen(
            [binary, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        reason = f"it is for Linux, and this machine is {platform.machine()} {platform.system()}"
        raise LauncherError(f"the binary cannot be run: {error.strerror}; {reason}") from error
    with process.stdout, process.stderr:
        try:
            with forwarding(process) as came:
                tail = stream(process, hidden)
                code = process.wait()
        finally:
            stopped(process)
    if came:
        raise LauncherError(f"the run was cancelled, and ops-runbook {ending(code)}")
    if code != 0:
        raise LauncherError("\n".join(filter(None, [f"ops-runbook {ending(code)}", tail])))


def ending(code):
    if code == TRY_AGAIN:
        return f"ended with exit code {code}: the same has to be run again, which a retry of the task does"
    if code < 0:
        return f"was ended by signal {-code}"
    return f"ended with exit code {code}"


def tell(text):
    print(f"launcher: {text}", file=sys.stderr, flush=True)


def main(argv):
    options, arguments = parse(argv)
    environment, values = environment_for(options, workspace())
    with tempfile.TemporaryDirectory(prefix="ops-runbook-") as folder:
        run(copied(options.binary, Path(folder)), arguments, environment, masks(values))


if __name__ == "__main__":
    main(sys.argv[1:])
