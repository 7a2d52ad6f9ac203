"""What a pod and an outside host run to measure the path between them.

traffic.py serve              the outside host: closes each TCP connection, takes UDP packets and forgets them
traffic.py connect <seconds>  opens TCP connections one after another; prints how many a second
traffic.py send <seconds>     sends UDP packets of 64 bytes as fast as it can; prints for how many seconds it did
"""

import itertools
import socket
import struct
import sys
import time

PORT = 8090
# Each in turn, so that no address and port comes back while conntrack still knows it.
DESTINATIONS = [f"203.0.113.{i}" for i in range(1, 255)]
# Closing resets: no connection waits for a minute with a port that the next one needs.
RESET = struct.pack("ii", 1, 0)


def serve():
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("", PORT))
    with socket.create_server(("", PORT), backlog=1024) as server:
        print("ready", flush=True)
        while True:
            server.accept()[0].close()


def connect(seconds):
    start = time.monotonic()
    for done, destination in enumerate(itertools.cycle(DESTINATIONS)):
        elapsed = time.monotonic() - start
        if elapsed >= seconds:
            return done / elapsed
        with socket.create_connection((destination, PORT)) as connection:
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def send(seconds):
    packet = bytes(64)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((DESTINATIONS[0], PORT))
        start = time.monotonic()
        while (elapsed := time.monotonic() - start) < seconds:
            for _ in range(100):
                sender.send(packet)
    return elapsed


if sys.argv[1] == "serve":
    serve()
print({"connect": connect, "send": send}[sys.argv[1]](float(sys.argv[2])))
