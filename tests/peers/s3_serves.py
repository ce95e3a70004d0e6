"""Runs an S3 emulator (moto) with one bucket until standard input ends.

S3 checks for an existing object and writes it atomically. moto does it in two steps, so a lock serialises puts with
If-None-Match here.

s3_serves.py BUCKET: prints one line of JSON, {"url", "bucket"}, when it is ready.
"""

import json
import sys
import threading

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open

    def log(self, type, message, *args):
        pass


def one_by_one(application):
    lock = threading.Lock()

    def answer(environ, start_response):
        if "HTTP_IF_NONE_MATCH" in environ and environ["REQUEST_METHOD"] == "PUT":
            with lock:
                return application(environ, start_response)
        return application(environ, start_response)

    return answer


def main():
    bucket = sys.argv[1]
    application = one_by_one(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    url = f"http://127.0.0.1:{server.server_port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.create_bucket(Bucket=bucket)
    print(json.dumps({"url": url, "bucket": bucket}), flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
