#!/usr/bin/env python3
"""hub.py DIR: everything outside of the containers, in a network namespace of its own without a way out: names, an attacker's server,
a pool, a cloud's metadata and a Kubernetes API. DIR/hosts has the containers' names and addresses, DIR/c2 what the attacker serves,
DIR/say/PORT what he types into a shell that came in at that port."""
import http.server, json, os, pathlib, socket, socketserver, ssl, struct, sys, threading, time

HERE = pathlib.Path(sys.argv[1])
GATEWAY, ATTACKER, METADATA, API = "10.89.0.1", "203.0.113.66", "169.254.169.254", "10.96.0.1"
# Names of the attacker's, and everything below them.
FOREIGN = ("evil.example", "pool.minexmr.example", "paste.example", "cdn.example")


def addresses(name):
    if name.endswith(FOREIGN):
        return [ATTACKER]
    if name.startswith("kubernetes.default"):
        return [API]
    lines = (line.split() for line in (HERE / "hosts").read_text().splitlines())
    return [address for service, replica, address in lines if name in (service, replica)]


class Names(socketserver.BaseRequestHandler):
    turn = 0

    def handle(self):
        question, reply = self.request
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode(errors="replace"))
            at += question[at] + 1
        asked_a = question[at + 1 : at + 3] == b"\0\1"
        found = addresses(".".join(labels).lower())
        Names.turn += 1
        # Replicas in turn.
        shown = [found[(Names.turn + i) % len(found)] for i in range(len(found))] if asked_a else []
        code = 0 if found else 3
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(shown), 0, 0)
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4"
        body = b"".join(record + socket.inet_aton(a) for a in shown)
        reply.sendto(head + question[12 : at + 5] + body, self.client_address)


class Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, code, body):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Attacker(Quiet):
    def do_GET(self):
        file = HERE / "c2" / os.path.basename(self.path.split("?")[0])
        self.answer(200, file.read_bytes()) if file.is_file() else self.answer(404, b"")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(200, b"thanks\n")

    do_PUT = do_POST


class Metadata(Quiet):
    def do_GET(self):
        self.answer(200, b'{"AccessKeyId": "ASIA0", "SecretAccessKey": "none", "Token": "none"}\n')

    do_PUT = do_GET


class Kubernetes(Quiet):
    def do_GET(self):
        self.answer(200, json.dumps({"kind": "SecretList", "items": []}).encode())

    def do_POST(self):
        self.answer(201, b'{"kind": "Pod"}')


class Shell(socketserver.BaseRequestHandler):
    """What is said at this port is typed, and what comes back is thrown away."""

    def handle(self):
        said = HERE / "say" / str(self.server.server_address[1])
        self.request.settimeout(0.1)
        ends = time.time() + 90
        while time.time() < ends:
            if said.exists():
                text = said.read_bytes()
                said.unlink()
                self.request.sendall(text)
                if text.strip() == b"exit":
                    return
            try:
                if not self.request.recv(65536):
                    return
            except TimeoutError:
                pass
            except OSError:
                return


class Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class Docker(Quiet):
    def address_string(self):
        return "socket"

    def do_GET(self):
        self.answer(200, b"[]")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(201, b'{"Id": "0"}')


def serve(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    (HERE / "say").mkdir(exist_ok=True)
    serve(socketserver.ThreadingUDPServer((GATEWAY, 53), Names))
    for port in (80, 8080, 8443):
        serve(Threads((ATTACKER, port), Attacker))
    for port in range(4440, 4450):
        serve(Threads((ATTACKER, port), Shell))
    for port in (22, 3333, 14444):
        serve(Threads((ATTACKER, port), Shell))
    serve(Threads((METADATA, 80), Metadata))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(HERE / "api.pem")
    api = Threads((API, 443), Kubernetes)
    api.socket = tls.wrap_socket(api.socket, server_side=True)
    serve(api)
    serve(UnixServer(str(HERE / "docker.sock"), Docker))
    (HERE / "hub.ready").touch()
    threading.Event().wait()


main()
