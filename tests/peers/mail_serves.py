"""Runs a mail server until standard input ends: mail_serves.py FOLDER

Prints one line of JSON, {"port"}, when it is ready. Writes each accepted mail, as parsed by Python, as a line of JSON to
FOLDER/mails.jsonl, and its HTML part to N.html. Recipients defer@… get 451 as often as the number in FOLDER/defer (default 1),
turn@… get 451 once and then 550, refuse@… always get 550.
"""

import email
import email.policy
import json
import pathlib
import sys
import warnings

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

folder = pathlib.Path(sys.argv[1])
# The library warns about authentication without TLS, which this test server needs.
warnings.simplefilter("ignore")


class Keeper:
    def __init__(self):
        self.count = 0
        self.deferred = {}

    def defers(self, user):
        """Counts a deferral. Returns whether the recipient is deferred again."""
        count = self.deferred[user] = self.deferred.get(user, 0) + 1
        often = folder / "defer"
        return count <= (int(often.read_text()) if user == "defer" and often.exists() else 1)

    async def handle_RCPT(self, server, session, envelope, address, options):
        user = address.partition("@")[0]
        if user in ("defer", "turn") and self.defers(user):
            return "451 come back later"
        if user in ("refuse", "turn"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [part for part in mail.walk() if not part.is_multipart()]
        defects = [str(defect) for part in mail.walk() for defect in part.defects]
        defects += [f"{name}: {defect}" for name, value in mail.items() for defect in value.defects]
        parsed = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in mail.items()],
            "longest_line": max(len(line) for line in envelope.content.split(b"\r\n")),
            "bare_line_ends": envelope.content.replace(b"\r\n", b"").count(b"\n"),
            "type": mail.get_content_type(),
            "parts": [[part.get_content_type(), part.get_content()] for part in parts],
            "defects": defects,
        }
        self.count += 1
        html = [content for kind, content in parsed["parts"] if kind == "text/html"]
        (folder / f"{self.count}.html").write_text("".join(html), encoding="utf-8")
        with open(folder / "mails.jsonl", "a", encoding="utf-8") as mails:
            mails.write(json.dumps(parsed) + "\n")
        return "250 OK: kept"


def authenticate(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword) and data.login == b"ops" and data.password == b"not-a-real-password"
    return AuthResult(success=known)


class Anywhere(Controller):
    # The port is known only after the server has started.
    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


controller = Anywhere(Keeper(), hostname="127.0.0.1", port=0, auth_require_tls=False, authenticator=authenticate,
                      auth_required=True)
controller.start()
print(json.dumps({"port": str(controller.port)}), flush=True)
sys.stdin.read()
controller.stop()
