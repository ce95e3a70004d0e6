"""Serves the part of Google Cloud Storage's XML API that a lake needs, in memory, until standard input ends. No emulator has
it: fake-gcs-server's releases do not support PUT in that API.

google_serves.py BUCKET SECONDS: prints one line of JSON, {"url", "bucket", "account", "token"}, when it is ready. SECONDS is the
minimum time between two writes to one name (Google: 1). An earlier write gets 429, even if its precondition fails. The account is
a service account in Google's format, with a new key. The token is an access token of another client. Lists have pages of ten.

Answers follow Google's documentation: writes support x-goog-if-generation-match and ignore If-None-Match; multipart uploads
support no precondition, need parts of at least 5 MiB and have no MD5 in their ETag; a deleted object must exist. A JSON Web Token
that the account has signed for a scope is accepted as a token.

Only the key and the signatures need more than Python's standard library.
"""

import base64
import email.utils
import hashlib
import json
import re
import secrets
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

BUCKET, PAUSE = sys.argv[1], float(sys.argv[2])
PAGE = 10
SMALLEST_PART = 5 * 1024 * 1024
EMAIL = "ops-runbook@test-project.iam.gserviceaccount.com"
SCOPES = {
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/devstorage.read_write",
    "https://www.googleapis.com/auth/devstorage.full_control",
}

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEY_ID = secrets.token_hex(20)
TOKEN = f"ya29.{secrets.token_urlsafe(32)}"


class Refused(Exception):
    def __init__(self, status, code, message, details=""):
        self.status, self.code, self.message, self.details = status, code, message, details


class Stored:
    def __init__(self, body, generation, tag):
        self.body, self.generation, self.tag = body, generation, f'"{tag}"'
        self.written = time.time()

    def headers(self):
        return {
            "ETag": self.tag,
            "Last-Modified": email.utils.formatdate(self.written, usegmt=True),
            "x-goog-generation": str(self.generation),
            "x-goog-metageneration": "1",
            "x-goog-stored-content-length": str(len(self.body)),
        }


class Bucket:
    """The objects of a bucket. One lock makes the check of a precondition and its write atomic."""

    def __init__(self):
        self.lock = threading.Lock()
        self.objects, self.uploads, self.written, self.generation = {}, {}, {}, 0

    def write(self, name, condition, body, tag=None):
        self.change(name, condition)
        self.generation = max(self.generation + 1, time.time_ns() // 1000)
        stored = Stored(body, self.generation, tag or hashlib.md5(body).hexdigest())
        self.objects[name] = stored
        return stored

    def remove(self, name, condition):
        self.change(name, condition, must_be_there=True)
        del self.objects[name]

    def change(self, name, condition, must_be_there=False):
        there = self.objects.get(name)
        now = time.monotonic()
        if now - self.written.get(name, -PAUSE) < PAUSE:
            said = "exceeded the rate limit for object mutation operations (create, update, and delete)"
            raise Refused(429, "SlowDown", f"The object {said}.", f"The object {BUCKET}/{name} {said}.")
        if must_be_there and there is None:
            raise no_such_key(name)
        if condition is not None and condition != str(there.generation if there else 0):
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
        self.written[name] = now

    def read(self, name, generation=None):
        there = self.objects.get(name)
        if there is None or generation not in (None, str(there.generation)):
            raise no_such_key(name)
        return there

    def upload(self, number, name):
        there = self.uploads.get(number)
        if there is None or there["name"] != name:
            raise Refused(404, "NoSuchUpload", "The requested upload was not found.")
        return there


def no_such_key(name):
    return Refused(404, "NoSuchKey", "The specified key does not exist.", f"No such object: {BUCKET}/{name}")


def invalid(message):
    return Refused(400, "InvalidArgument", "Invalid argument.", message)


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def is_signed(token):
    """Returns whether a token is a JSON Web Token of the account, for a scope, for at most an hour."""
    try:
        head, claims, signature = token.split(".")
        KEY.public_key().verify(decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        head, claims, now = json.loads(decoded(head)), json.loads(decoded(claims)), time.time()
    except (ValueError, InvalidSignature):
        return False
    return (
        (head["alg"], head["typ"], head["kid"]) == ("RS256", "JWT", KEY_ID)
        and claims["iss"] == claims["sub"] == EMAIL
        # A token is for a scope or for an audience, not for both.
        and "aud" not in claims
        and bool(SCOPES & set(claims["scope"].split()))
        and claims["iat"] - 60 <= now < claims["exp"] <= claims["iat"] + 3600
    )


bucket = Bucket()
known = set()


def check_bearer(header):
    kind, _, token = (header or "").partition(" ")
    if kind != "Bearer" or not (token == TOKEN or token in known or is_signed(token)):
        raise Refused(401, "AuthenticationRequired", "Authentication required.")
    known.add(token)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    def answer(self):
        length = self.headers.get("Content-Length")
        body = self.rfile.read(int(length or 0))
        try:
            check_bearer(self.headers.get("Authorization"))
            path, _, query = self.path.partition("?")
            holder, _, name = path[1:].partition("/")
            name = urllib.parse.unquote(name)
            self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
            if urllib.parse.unquote(holder) != BUCKET:
                raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
            if self.command in ("PUT", "POST") and length is None:
                raise Refused(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
            with bucket.lock:
                if not name:
                    self.expect("GET")
                    self.list()
                elif "uploads" in self.query or "uploadId" in self.query:
                    self.upload(name, body)
                else:
                    self.expect("GET", "HEAD", "PUT", "DELETE")
                    getattr(self, f"object_{self.command.lower()}")(name, body)
        except Refused as refused:
            details = f"<Details>{escape(refused.details)}</Details>" if refused.details else ""
            said = f"<Code>{refused.code}</Code><Message>{escape(refused.message)}</Message>{details}"
            self.reply(refused.status, f"<Error>{said}</Error>")
        self.send()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def expect(self, *methods):
        if self.command not in methods:
            raise Refused(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")

    def reply(self, status, text=None, headers=None, body=b""):
        """Sets the reply, which is sent after the lock is released."""
        headers = dict(headers or {})
        if text is not None:
            body = f"<?xml version='1.0' encoding='UTF-8'?>{text}".encode()
            headers["Content-Type"] = "application/xml; charset=UTF-8"
        self.replied = (status, headers, body)

    def send(self):
        status, headers, body = self.replied
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        if status not in (204, 304) and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def condition(self):
        return self.headers.get("x-goog-if-generation-match")

    def object_put(self, name, body):
        source = self.headers.get("x-goog-copy-source")
        if source is None:
            self.reply(200, headers=bucket.write(name, self.condition(), body).headers())
            return
        holder, _, other = urllib.parse.unquote(source).lstrip("/").partition("/")
        if holder != BUCKET:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
        stored = bucket.write(name, self.condition(), bucket.read(other).body)
        text = f"<LastModified>{moment(stored)}</LastModified><ETag>{escape(stored.tag)}</ETag>"
        self.reply(200, f"<CopyObjectResult>{text}</CopyObjectResult>", stored.headers())

    def object_delete(self, name, _):
        bucket.remove(name, self.condition())
        self.reply(204)

    def object_get(self, name, _):
        stored = bucket.read(name, self.query.get("generation"))
        headers = {**stored.headers(), "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        self.check_read(stored)
        if self.status is not None:
            self.reply(304, headers=headers)
            return
        body, size = stored.body, len(stored.body)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if self.command == "HEAD" or asked is None:
            headers["Content-Length"] = str(size)
            self.reply(200, headers=headers, body=body)
            return
        first, last = asked.groups()
        if first:
            begin, end = int(first), min(int(last or size - 1), size - 1)
        else:
            begin, end = max(size - int(last), 0), size - 1
        if begin >= size or begin > end:
            raise Refused(416, "InvalidRange", "The requested range cannot be satisfied.")
        headers["Content-Range"] = f"bytes {begin}-{end}/{size}"
        self.reply(206, headers=headers, body=body[begin : end + 1])

    object_head = object_get

    def check_read(self, stored):
        """Checks the preconditions of a read. Raises 412, or sets the status 304."""
        given, self.status = self.headers.get, None

        def names(header):
            return bool({stored.tag, "*"} & {tag.strip() for tag in given(header).split(",")})

        def is_newer(header):
            return int(stored.written) > email.utils.parsedate_to_datetime(given(header)).timestamp()

        if (
            (given("If-Match") and not names("If-Match"))
            or (given("If-Unmodified-Since") and is_newer("If-Unmodified-Since"))
            or self.condition() not in (None, str(stored.generation))
        ):
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
        if given("If-None-Match"):
            self.status = 304 if names("If-None-Match") else None
        elif given("If-Modified-Since") and not is_newer("If-Modified-Since"):
            self.status = 304

    def list(self):
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        if self.query.get("list-type") != "2":
            raise invalid("this server lists by list-type=2 only")
        token = self.query.get("continuation-token")
        try:
            after = decoded(token).decode() if token else self.query.get("start-after", "")
        except ValueError:
            raise invalid("unknown continuation token") from None
        most = min(int(self.query.get("max-keys", PAGE)), PAGE)
        objects, folders, last = [], [], None
        for name in sorted(bucket.objects, key=str.encode):
            if not name.startswith(prefix) or name.encode() <= after.encode():
                continue
            folder, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            folder = f"{prefix}{folder}{delimiter}" if found else None
            # The folder was listed already.
            if folder and (folder == last or after.startswith(folder)):
                continue
            if len(objects) + len(folders) == most:
                break
            last = folder or name
            (folders if folder else objects).append(last)
        else:
            most = None
        listed = [f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix>"]
        listed.append(f"<KeyCount>{len(objects) + len(folders)}</KeyCount>")
        listed.append(f"<IsTruncated>{str(most is not None).lower()}</IsTruncated>")
        if most is not None:
            listed.append(f"<NextContinuationToken>{base64.urlsafe_b64encode(last.encode()).decode()}</NextContinuationToken>")
        for name in objects:
            stored = bucket.objects[name]
            listed.append(
                f"<Contents><Key>{escape(name)}</Key><Generation>{stored.generation}</Generation>"
                f"<MetaGeneration>1</MetaGeneration><LastModified>{moment(stored)}</LastModified>"
                f"<ETag>{escape(stored.tag)}</ETag><Size>{len(stored.body)}</Size></Contents>"
            )
        listed += [f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in folders]
        self.reply(200, f"<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>{''.join(listed)}</ListBucketResult>")

    def upload(self, name, body):
        """Handles a multipart upload: begin, put parts, complete or abort."""
        if self.condition() is not None:
            raise invalid("multipart uploads support no preconditions")
        number = self.query.get("uploadId")
        if self.command == "POST" and number is None:
            number = secrets.token_urlsafe(24)
            bucket.uploads[number] = {"name": name, "parts": {}}
            text = f"<Bucket>{BUCKET}</Bucket><Key>{escape(name)}</Key><UploadId>{number}</UploadId>"
            self.reply(200, f"<InitiateMultipartUploadResult>{text}</InitiateMultipartUploadResult>")
            return
        parts = bucket.upload(number, name)["parts"]
        if self.command == "PUT":
            tag = f'"{hashlib.md5(body).hexdigest()}"'
            parts[int(self.query["partNumber"])] = (tag, body)
            self.reply(200, headers={"ETag": tag})
        elif self.command == "DELETE":
            del bucket.uploads[number]
            self.reply(204)
        else:
            self.expect("POST")
            stored = bucket.write(name, None, self.joined(parts, body), f"{secrets.token_hex(8)}-{len(parts)}")
            del bucket.uploads[number]
            text = f"<Bucket>{BUCKET}</Bucket><Key>{escape(name)}</Key><ETag>{escape(stored.tag)}</ETag>"
            self.reply(200, f"<CompleteMultipartUploadResult>{text}</CompleteMultipartUploadResult>", stored.headers())

    def joined(self, parts, body):
        listed = [
            (int(part.findtext("PartNumber")), part.findtext("ETag"))
            for part in xml.etree.ElementTree.fromstring(body).iter("Part")
        ]
        if not listed or [number for number, _ in listed] != sorted({number for number, _ in listed}):
            raise Refused(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
        if any(number not in parts or parts[number][0] != tag for number, tag in listed):
            raise Refused(400, "InvalidPart", "One or more of the specified parts could not be found.")
        bodies = [parts[number][1] for number, _ in listed]
        if any(len(part) < SMALLEST_PART for part in bodies[:-1]):
            raise Refused(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size.")
        return b"".join(bodies)


def moment(stored):
    written = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stored.written))
    return f"{written}.{int(stored.written * 1000) % 1000:03}Z"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main():
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "type": "service_account",
        "project_id": "test-project",
        "private_key_id": KEY_ID,
        "private_key": pem,
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    ready = {"url": f"http://127.0.0.1:{server.server_port}", "bucket": BUCKET, "account": json.dumps(account)}
    print(json.dumps({**ready, "token": TOKEN}), flush=True)
    sys.stdin.read()


main()
