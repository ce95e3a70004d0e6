"""A mail server: mail_serves.py FOLDER

Runs until standard input ends; prints one line of JSON, {"port"}, once it answers. Every letter that is accepted is a line of JSON in FOLDER/letters.jsonl, as Python's own parser reads it; the
HTML part lies beside it as N.html. To user defer@… it says 451 as often as FOLDER/defer says, once without that file; to
turn@… 451 once and then 550, to refuse@… always 550.
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
# Without TLS, on this machine only.
warnings.simplefilter("ignore")


class Keeper:
    def __init__(self):
        self.count = 0
        self.deferred = {}

    def defers(self, user):
        """Whether it says so once more."""
        said = self.deferred[user] = self.deferred.get(user, 0) + 1
        often = folder / "defer"
        return said <= (int(often.read_text()) if user == "defer" and often.exists() else 1)

    async def handle_RCPT(self, server, session, envelope, address, options):
        user = address.partition("@")[0]
        if user in ("defer", "turn") and self.defers(user):
            return "451 come back later"
        if user in ("refuse", "turn"):
            return "550 there is nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [part for part in letter.walk() if not part.is_multipart()]
        defects = [str(defect) for part in letter.walk() for defect in part.defects]
        defects += [f"{name}: {defect}" for name, value in letter.items() for defect in value.defects]
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in letter.items()],
            "longest_line": max(len(line) for line in envelope.content.split(b"\r\n")),
            "bare_line_ends": envelope.content.replace(b"\r\n", b"").count(b"\n"),
            "type": letter.get_content_type(),
            "parts": [[part.get_content_type(), part.get_content()] for part in parts],
            "defects": defects,
        }
        self.count += 1
        html = [content for kind, content in told["parts"] if kind == "text/html"]
        (folder / f"{self.count}.html").write_text("".join(html), encoding="utf-8")
        with open(folder / "letters.jsonl", "a", encoding="utf-8") as letters:
            letters.write(json.dumps(told) + "\n")
        return "250 OK: kept"


def authenticate(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword) and data.login == b"ops" and data.password == b"not-a-real-password"
    return AuthResult(success=known)


class Anywhere(Controller):
    # The port is not known before.
    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


controller = Anywhere(Keeper(), hostname="127.0.0.1", port=0, auth_require_tls=False, authenticator=authenticate,
                      auth_required=True)
controller.start()
print(json.dumps({"port": str(controller.port)}), flush=True)
sys.stdin.read()
controller.stop()
