#!/usr/bin/env python3
"""load.py DIR SEED: steady clients of all services in DIR/hosts, from the hub; load.py --postgres ADDRESS SQL: one
statement; load.py --lines ADDRESS PORT LINE...: lines to a service, one after the other."""
import pathlib, random, socket, struct, sys, threading, time, urllib.request


def lines(address, port, *commands):
    with socket.create_connection((address, port), 3) as s:
        s.settimeout(3)
        for command in commands:
            s.sendall(command.encode() + b"\r\n")
            s.recv(4096)


def http(address, *targets, port=80):
    for target in targets:
        urllib.request.urlopen(f"http://{address}:{port}{target}", timeout=5).read()


def postgres(address, *statements):
    with socket.create_connection((address, 5432), 3) as s:
        s.settimeout(20)
        hello = b"\0\3\0\0user\0postgres\0database\0postgres\0\0"
        s.sendall(struct.pack(">I", len(hello) + 4) + hello)
        for statement in ("", *statements):
            if statement:
                text = statement.encode() + b"\0"
                s.sendall(b"Q" + struct.pack(">I", len(text) + 4) + text)
            answer = b""
            # ReadyForQuery is the last message of each answer.
            while answer[-6:-1] != b"Z\0\0\0\5":
                more = s.recv(65536)
                if not more:
                    return
                answer += more


def mqtt(address, chance):
    with socket.create_connection((address, 1883), 3) as s:
        s.settimeout(3)
        s.sendall(b"\x10\x10\0\4MQTT\4\2\0\x3c\0\4load")
        s.recv(4)
        for _ in range(chance.randint(1, 5)):
            body = b"\0\6orders" + str(chance.random()).encode()
            s.sendall(b"\x30" + bytes([len(body)]) + body)
        s.sendall(b"\xe0\0")


def once(service, address, chance):
    n = chance.randint(1, 40)
    if service in ("web-nginx", "proxy-haproxy"):
        http(address, "/", chance.choice(("/style.css", "/health", "/api/")))
    elif service == "web-httpd":
        http(address, "/", f"/cgi-bin/status?host=node{n}")
    elif service == "web-lighttpd":
        http(address, "/", f"/count.sh?page{n}")
    elif service == "proxy-socat":
        http(address, "/")
    elif service in ("app-python", "app-perl"):
        http(address, chance.choice(("/", "/", f"/report?name=shop{n}")), port=8000)
    elif service == "cache-redis":
        lines(address, 6379, f"SET key{n} {n}", f"GET key{n}", "INCR sum")
    elif service == "cache-memcached":
        lines(address, 11211, f"get key{n}", "version")
    elif service == "queue-beanstalkd":
        lines(address, 11300, "use orders", "put 0 0 60 2\r\nhi", "stats-tube orders")
    elif service == "queue-mosquitto":
        mqtt(address, chance)
    elif service == "db-sqlite":
        what = chance.choice(("insert into orders(what) values ('x');", "select count(*) from orders;"))
        lines(address, 7000, what)
    elif service == "db-postgres":
        postgres(
            address,
            "create table if not exists orders(n int)",
            f"insert into orders values ({n})",
            "select sum(n) from orders",
        )


def client(service, address, chance):
    while True:
        try:
            once(service, address, chance)
        except OSError:
            # It starts, is being replaced, or is under attack.
            pass
        time.sleep(chance.uniform(1, 4))


def main():
    if sys.argv[1] == "--postgres":
        return postgres(sys.argv[2], sys.argv[3])
    if sys.argv[1] == "--lines":
        return lines(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    for line in (pathlib.Path(sys.argv[1]) / "hosts").read_text().splitlines():
        service, replica, address = line.split()
        chance = random.Random(f"{sys.argv[2]} {replica}")
        threading.Thread(target=client, args=(service, address, chance), daemon=True).start()
    threading.Event().wait()


main()
