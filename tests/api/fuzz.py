"""See fuzz."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

import jsonschema_rs

HERE = Path(__file__).parent


def carry(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


def serve(listener, path):
    """The Unix socket, for a client that knows TCP alone."""
    while True:
        client, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(path)
        for ends in [(client, server), (server, client)]:
            threading.Thread(target=carry, args=ends, daemon=True).start()


def fuzz(url, container):
    environment = dict(os.environ, SCHEMATHESIS_HOOKS="hooks", PYTHONPATH=str(HERE), NO_COLOR="1")
    if container:
        environment["REMORA_CONTAINER"] = container
    command = [Path(sys.executable).parent / "st", "--config-file", HERE / "schemathesis.toml", "run"]
    command += [f"{url}/v1/openapi.json", "--url", url, "--checks", "all", "--continue-on-failure"]
    command += ["--max-examples", os.environ.get("EXAMPLES", "15"), "--seed", "1", "--request-timeout", "60"]
    command += ["--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all"]
    # What is held is read for as long as its container lives.
    command += ["--exclude-path-regex", "/hold$"]
    print("==", container or "any name", flush=True)
    # What it notes for the next run goes with this one.
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(command, env=environment, cwd=folder, check=False).returncode


def events(url):
    """Each line is what the document says."""
    with urllib.request.urlopen(f"{url}/v1/openapi.json") as answer:
        document = json.load(answer)
    schema = {"$ref": "#/components/schemas/EventOrGap", "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema)
    with urllib.request.urlopen(f"{url}/v1/events?replay=true") as answer:
        lines = answer.read().splitlines()
    for line in lines:
        validator.validate(json.loads(line))
    print(f"{len(lines)} events are as described")
    return 0 if lines else 1


def main():
    path, container = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    threading.Thread(target=serve, args=(listener, path), daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    return sum([events(url), fuzz(url, None), fuzz(url, container)])


sys.exit(main())
