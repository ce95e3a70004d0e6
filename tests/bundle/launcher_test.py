"""Tests of the launcher, with scripts in place of the binary.

    python -m unittest launcher_test

OPS_RUNBOOK_TEST_LAUNCHER: the folder of launcher.py.
"""

import base64
import contextlib
import faulthandler
import gzip
import hashlib
import http.server
import io
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock
from urllib.parse import parse_qs, urlsplit

FOLDER = Path(os.environ["OPS_RUNBOOK_TEST_LAUNCHER"])
sys.path.insert(0, str(FOLDER))

import launcher  # noqa: E402

SECONDS = 180  # limit of one test and of each wait in it; on an idle machine a test takes less than 3
TOKEN = "dapi0123456789abcdef0123456789abcdef"
# Prints its arguments, environment and input. These files are not executable.
ECHO = """
import json, os, sys
print(json.dumps({"arguments": sys.argv[1:], "environment": dict(os.environ), "input": sys.stdin.read()}))
"""
# A script that calls at_the_gate waits there until the test opens the gate, or until the limit.
GATE = f"""
import os, signal, time
def at_the_gate():
    until = time.monotonic() + {2 * SECONDS}
    while not os.path.exists(os.environ["GATE"]) and time.monotonic() < until:
        time.sleep(0.02)
"""
HOSTILE = [
    "two words",
    "",
    "--json",
    "--",
    "-",
    "it's \"quoted\" and `run` $HOME $(id) ${x} %s \\n \\",
    "two\nlines\r\tand a tab",
    "*.rs ~ !! # ; & | < >",
    "\u00fcber \u65e5\u672c \U0001f6a8 \u202e",
]


class Workspace(http.server.BaseHTTPRequestHandler):
    """A workspace with secrets."""

    def do_GET(self):
        asked = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error_code": "UNAUTHENTICATED", "message": "unauthenticated"})
        if query.get("scope") != "ops":
            return self.answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such scope"})
        if asked.path == "/api/2.0/secrets/list":
            return self.answer(200, {"secrets": [{"key": key} for key in self.server.secrets]})
        self.server.read.append(query["key"])
        value = self.server.secrets[query["key"]]
        return self.answer(200, {"key": query["key"], "value": base64.b64encode(value.encode()).decode()})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class LauncherTest(unittest.TestCase):
    def setUp(self):
        # A test that hangs ends the process and prints the stack of every thread.
        faulthandler.dump_traceback_later(2 * SECONDS, exit=True)
        self.addCleanup(faulthandler.cancel_dump_traceback_later)
        held = contextlib.ExitStack()
        self.addCleanup(held.close)
        self.folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        strange = ("DATABRICKS_", "PYTHONUNBUFFERED")  # the latter would hide a missing flush
        kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        self.environment = {**kept, "DATABRICKS_CONFIG_FILE": str(self.folder / "databrickscfg"), "HOME": str(self.folder), "NO_PROXY": "127.0.0.1"}
        self.environment["GATE"] = str(self.folder / "gate")
        held.enter_context(mock.patch.dict(os.environ, self.environment, clear=True))

    def workspace(self, secrets=None):
        """Starts a workspace and writes a profile for it. Returns the server."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Workspace)
        server.secrets, server.read = secrets or {}, []
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        server.url = f"http://127.0.0.1:{server.server_port}"
        profile = f"[DEFAULT]\nhost = {server.url}\ntoken = {TOKEN}\n"
        (self.folder / "databrickscfg").write_text(profile, encoding="utf-8")
        return server

    def script(self, text, interpreter=sys.executable):
        file = self.folder / "binary"
        file.write_text(f"#!{interpreter}\n{text}", encoding="utf-8")
        file.chmod(0o644)
        return file

    def open_gate(self):
        Path(self.environment["GATE"]).touch()

    def launch(self, script, arguments=(), options=()):
        """Returns standard output and standard error of a successful run."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            launcher.main(["--binary", str(script), *options, "--", *arguments])
        return out.getvalue(), err.getvalue()

    def echo(self, arguments=(), options=()):
        return json.loads(self.launch(self.script(ECHO), arguments, options)[0])

    def fails(self, script, arguments=(), options=()):
        with self.assertRaises(launcher.LauncherError) as failed:
            self.launch(script, arguments, options)
        return str(failed.exception)

    def started(self, script, grace=SECONDS, stdin=None):
        """Starts the launcher in its own process, without the SDK, which takes seconds to import. The process is killed at the limit.

        grace: the launcher's GRACE_SECONDS.
        """
        # A shell that starts the tests in the background makes them and their children ignore SIGINT.
        code = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.modules["databricks.sdk"] = None
sys.path.insert(0, {str(FOLDER)!r})
import launcher
launcher.GRACE_SECONDS = {grace}
launcher.main(sys.argv[1:])
"""
        process = subprocess.Popen(
            [sys.executable, "-c", code, "--binary", str(script), "--"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        limit = threading.Timer(SECONDS, process.kill)
        limit.daemon = True
        limit.start()
        self.addCleanup(limit.cancel)
        return process

    def line(self, process):
        """Returns the next line of standard output. Without one, the test fails with the content of standard error."""
        line = process.stdout.readline()
        if not line:
            process.kill()
            self.fail(f"the launcher printed no line: {process.stderr.read()}")
        return line.strip()

    # Input of the binary

    def test_arguments_reach_the_binary_unharmed(self):
        self.assertEqual(self.echo(HOSTILE)["arguments"], HOSTILE)

    def test_an_argument_that_looks_like_an_option_of_the_launcher_is_the_binarys(self):
        arguments = ["--binary", "x", "--scope", "y", "--", "--secret=z"]
        self.assertEqual(self.echo(arguments)["arguments"], arguments)

    def test_standard_input_of_the_binary_is_empty(self):
        process = self.started(self.script(ECHO), stdin=subprocess.PIPE)
        out, _ = process.communicate("not for the binary", timeout=SECONDS)
        self.assertEqual(json.loads(out)["input"], "")

    def test_environment_variables_are_passed_unchanged(self):
        found = self.echo(options=["--env", "A=b=c d", "--env", "EMPTY="])["environment"]
        self.assertEqual((found["A"], found["EMPTY"]), ("b=c d", ""))

    def test_invalid_parameters_are_refused_without_exiting_the_interpreter(self):
        for argv in (
            [],
            ["--binary", "x"],
            ["--binary", "x", "init"],
            ["--", "init"],
            ["--binary", "x", "--what", "--", "init"],
            ["--binary", "x", "--env", "A", "--", "init"],
            ["--binary", "x", "--env", "=A", "--", "init"],
            ["--binary", "x", "--secret", "A", "--", "init"],
            ["--binary", "x", "--secrets", "A_*", "--", "init"],
            ["--help"],
        ):
            with self.subTest(argv), self.assertRaises(launcher.LauncherError):
                launcher.main(argv)

    # Credentials

    def test_host_and_token_of_the_task_are_passed(self):
        server = self.workspace()
        found = self.echo()["environment"]
        self.assertEqual(found["DATABRICKS_HOST"], server.url)
        self.assertEqual(found["DATABRICKS_TOKEN"], "[REDACTED]")
        self.assertEqual(found["DATABRICKS_AUTH_TYPE"], "pat")

    def test_the_token_is_correct_and_never_in_the_output(self):
        self.workspace()
        text = "import hashlib, os, sys\ntoken = os.environ['DATABRICKS_TOKEN']\n"
        text += "print(hashlib.sha256(token.encode()).hexdigest(), token)\nprint(token, file=sys.stderr)\nsys.exit(1)"
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            with self.assertRaises(launcher.LauncherError) as failed:
                launcher.main(["--binary", str(self.script(text)), "--"])
        self.assertEqual(out.getvalue().split(), [hashlib.sha256(TOKEN.encode()).hexdigest(), "[REDACTED]"])
        self.assertNotIn(TOKEN, err.getvalue() + str(failed.exception))

    def test_a_service_principal_among_the_secrets_replaces_the_token(self):
        server = self.workspace({"DATABRICKS_CLIENT_ID": "an-application", "DATABRICKS_CLIENT_SECRET": "dose-not-a-real-one"})
        with mock.patch.dict(os.environ, {"DATABRICKS_HOST": server.url, "DATABRICKS_TOKEN": TOKEN}):
            found = self.echo(options=["--scope", "ops", "--secrets", "DATABRICKS_CLIENT_*"])["environment"]
        self.assertEqual(found["DATABRICKS_HOST"], server.url)
        self.assertNotIn("DATABRICKS_TOKEN", found)
        self.assertEqual(found["DATABRICKS_AUTH_TYPE"], "oauth-m2m")
        self.assertEqual(found["DATABRICKS_CLIENT_SECRET"], "[REDACTED]")

    def test_without_a_workspace_the_binary_runs_without_credentials(self):
        out, err = self.launch(self.script(ECHO))
        self.assertNotIn("DATABRICKS_TOKEN", json.loads(out)["environment"])
        self.assertIn("no credentials of a workspace found", err)

    def test_without_the_sdk_the_environment_is_passed_unchanged(self):
        with mock.patch.dict(sys.modules, {"databricks.sdk": None}):
            with mock.patch.dict(os.environ, {"DATABRICKS_HOST": "https://a", "DATABRICKS_TOKEN": "as-it-is-here"}):
                found = self.echo()["environment"]
        self.assertEqual((found["DATABRICKS_HOST"], found["DATABRICKS_TOKEN"]), ("https://a", "[REDACTED]"))

    # Secrets

    def test_only_requested_secrets_are_read(self):
        server = self.workspace({"AWS_ACCESS_KEY_ID": "an-access-key", "AWS_REGION": "x", "OTHER": "other-secret", "KEY": "the-key-itself"})
        found = self.echo(options=["--scope", "ops", "--secret", "KEY", "--secrets", "AWS_*, GOOGLE_*"])["environment"]
        self.assertEqual(found["AWS_ACCESS_KEY_ID"], "[REDACTED]")
        self.assertEqual(found["AWS_REGION"], "x", "too short to be masked")
        self.assertNotIn("OTHER", found)
        self.assertEqual(sorted(server.read), ["AWS_ACCESS_KEY_ID", "AWS_REGION", "KEY"])

    def test_every_line_of_a_secret_is_masked(self):
        self.workspace({"KEY": "-----BEGIN KEY-----\nfirst line of it\nab\n-----END KEY-----\n"})
        text = "import os\nprint(os.environ['KEY'])\nprint('first line of it')"
        out, _ = self.launch(self.script(text), options=["--scope", "ops", "--secret", "KEY"])
        self.assertNotIn("first line", out)
        self.assertEqual(out.count("[REDACTED]"), 4)

    def test_a_missing_required_secret_fails_the_task_and_is_named(self):
        self.workspace({"OTHER": "other-secret"})
        error = self.fails(self.script(ECHO), options=["--scope", "ops", "--secret", "KEY"])
        self.assertIn("the secret scope ops has no secret KEY", error)
        self.assertIn("databricks secrets put-secret ops KEY", error)

    def test_a_scope_that_cannot_be_read_fails_the_task(self):
        self.workspace()
        error = self.fails(self.script(ECHO), options=["--scope", "elsewhere", "--secrets", "A_*"])
        self.assertIn("cannot read the secret scope elsewhere: no such scope", error)
        (self.folder / "databrickscfg").unlink()
        error = self.fails(self.script(ECHO), options=["--scope", "ops", "--secrets", "A_*"])
        self.assertIn("there is no workspace", error)

    # Exit of the binary

    def test_any_exit_code_except_0_fails_the_task_with_standard_error(self):
        script = self.script("import sys\nprint('error: no such lake', file=sys.stderr)\nsys.exit(4)")
        self.assertEqual(self.fails(script), "ops-runbook exited with code 4\nerror: no such lake")

    def test_try_again_fails_the_task_to_be_retried(self):
        self.assertIn("exited with code 6 (try again)", self.fails(self.script("import sys; sys.exit(6)")))

    def test_a_binary_that_was_killed_fails_the_task(self):
        script = self.script("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        self.assertEqual(self.fails(script), "ops-runbook was stopped by signal 9")

    def test_a_missing_binary_and_one_for_another_machine_are_reported(self):
        self.assertIn("create it with `ops-runbook bundle init`", self.fails(self.folder / "none"))
        self.assertIn("this machine is", self.fails(self.script("", interpreter="/no/such/interpreter")))

    def test_the_binary_is_unchanged_and_its_copy_is_deleted(self):
        script = self.script("import sys; print(sys.argv[0])")
        copy = Path(self.launch(script)[0].strip())
        self.assertNotEqual(copy, script)
        self.assertFalse(copy.parent.exists())
        self.assertEqual(script.stat().st_mode & 0o777, 0o644)

    # Output

    def parts(self, text, processor, cuts=()):
        """Writes the parts of a script for a processor, cut at these offsets of the compressed data. Returns their paths."""
        packed = gzip.compress(f"#!{sys.executable}\n{text}".encode(), compresslevel=0)
        ends = [*cuts, len(packed)]
        parts = [self.folder / f"binary-{processor}.gz.{number:02}" for number in range(len(ends))]
        for part, start, end in zip(parts, [0, *cuts], ends):
            part.write_bytes(packed[start:end])
        return parts

    def test_a_binary_in_parts_is_joined(self):
        text = "import sys; print(len(open(sys.argv[0]).read()), 'characters')\n# " + "x" * 300_000
        length = len(f"#!{sys.executable}\n{text}")
        processor = launcher.PROCESSORS[platform.machine().lower()]
        parts = self.parts(text, processor, [1, 1, 100_000])
        (self.folder / "binary.txt").write_text("something else", encoding="utf-8")
        binary = self.folder / "binary"
        self.assertEqual(self.launch(binary)[0], f"{length} characters\n")
        whole = parts[3].read_bytes()
        parts[3].write_bytes(whole[:-5])
        self.assertIn(f"the parts binary-{processor}.gz.* are incomplete or damaged", self.fails(binary))
        parts[3].write_bytes(whole[1:])
        self.assertIn("create it with `ops-runbook bundle init` or bundle/build, then deploy again", self.fails(binary))
        parts[0].unlink()
        self.assertIn("are incomplete or damaged", self.fails(binary))

    def test_the_parts_for_the_machine_are_chosen(self):
        for processor in ("x86_64", "aarch64"):
            self.parts(f"print({processor!r})", processor)
        binary = self.folder / "binary"
        for machine, expected in (("x86_64", "x86_64"), ("AMD64", "x86_64"), ("aarch64", "aarch64"), ("arm64", "aarch64")):
            with self.subTest(machine), mock.patch.object(platform, "machine", return_value=machine):
                self.assertEqual(self.launch(binary)[0], f"{expected}\n")

    def test_a_machine_without_a_binary_is_named_with_the_available_processors(self):
        self.parts("", "x86_64")
        binary = self.folder / "binary"
        for machine in ("aarch64", "riscv64", ""):
            with self.subTest(machine), mock.patch.object(platform, "machine", return_value=machine):
                text = self.fails(binary)
                expected = f"this machine is {machine}; {self.folder} has no binary for it, only for x86_64; create it with"
                self.assertIn(expected, text)
        self.parts("", "aarch64")
        with mock.patch.object(platform, "machine", return_value="riscv64"):
            self.assertIn("only for aarch64 and x86_64", self.fails(binary))
        self.assertIn("and none for another processor", self.fails(self.folder / "other"))

    def test_only_named_variables_are_filled_in(self):
        with mock.patch.dict(os.environ, {"DATABRICKS_APP_PORT": "8123"}):
            arguments = ["--http", "0.0.0.0:$DATABRICKS_APP_PORT", "$HOME", "$(id)"]
            filled = self.echo(arguments, ["--fill", "DATABRICKS_APP_PORT"])["arguments"]
            self.assertEqual(filled, ["--http", "0.0.0.0:8123", "$HOME", "$(id)"])
            self.assertEqual(self.echo(arguments)["arguments"], arguments)
        error = self.fails(self.script(ECHO), options=["--fill", "DATABRICKS_APP_PORT"])
        self.assertEqual(error, "the environment variable DATABRICKS_APP_PORT, named by --fill, is not set")

    def test_output_with_invalid_bytes_keeps_its_stream(self):
        script = self.script("import sys\nsys.stdout.buffer.write(b'a\\xff\\n')\nsys.stderr.write('b')")
        out, err = self.launch(script)
        self.assertEqual(out, "a\ufffd\n")
        self.assertTrue(err.endswith("\nb"), err)

    def test_output_is_forwarded_while_the_binary_runs(self):
        process = self.started(self.script(f"{GATE}print('under way', flush=True)\nat_the_gate()"))
        self.assertEqual(self.line(process), "under way")
        self.assertIsNone(process.poll())
        self.open_gate()
        self.assertEqual(process.wait(SECONDS), 0)

    def test_much_output_on_both_streams_does_not_block(self):
        script = self.script("import sys\nfor n in range(20000):\n  print(n)\n  print(n, file=sys.stderr)")
        out, err = self.launch(script)
        self.assertEqual(out.split(), [str(n) for n in range(20000)])
        self.assertGreaterEqual(err.count("\n"), 20000)

    # Cancelling

    def test_a_cancelled_run_waits_for_the_binary_to_exit(self):
        process = self.started(
            self.script(
                # No handler prints: it may interrupt another print.
                f"{GATE}signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\nprint('under way', flush=True)\n"
                f"if signal.sigtimedwait([signal.SIGTERM], {SECONDS}):\n  print('asked to end', flush=True)\n"
                "at_the_gate()\nprint('tidied up', flush=True)"
            )
        )
        self.assertEqual(self.line(process), "under way")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.line(process), "asked to end")
        self.assertIsNone(process.poll())
        self.open_gate()
        out, err = process.communicate(timeout=SECONDS)
        self.assertEqual(out, "tidied up\n")
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("the run was cancelled, and ops-runbook exited with code 0", err)

    def test_a_binary_that_ignores_sigterm_is_killed(self):
        script = f"{GATE}signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(os.getpid(), flush=True)\nat_the_gate()"
        process = self.started(self.script(script), grace=0.5)
        pid = int(self.line(process))
        process.send_signal(signal.SIGTERM)
        # The gate stays closed, so only SIGKILL stops the binary.
        _, err = process.communicate(timeout=SECONDS)
        self.assertIn("the run was cancelled, and ops-runbook was stopped by signal 9", err)
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_an_interrupted_launcher_leaves_no_binary_behind(self):
        for ignored in ("", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"):
            script = self.script(f"{GATE}{ignored}\nprint(os.getpid(), flush=True)\nat_the_gate()")
            process = self.started(script, grace=0.5)
            pid = int(self.line(process))
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=SECONDS)
            with self.subTest(ignored), self.assertRaises(ProcessLookupError):
                os.kill(pid, 0)

    def test_the_launcher_runs_outside_the_main_thread(self):
        found = []
        script = self.script("print('from a thread')")
        thread = threading.Thread(target=lambda: found.append(self.launch(script)[0]))
        thread.start()
        thread.join(SECONDS)
        self.assertEqual(found, ["from a thread\n"])


if __name__ == "__main__":
    unittest.main()
