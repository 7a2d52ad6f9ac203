"""What a pod and an outside host run to measure the path between them.

traffic.py serve              the outside host: closes each TCP connection, answers the first UDP packet of each flow, and forgets the others
traffic.py bulk <seconds>     sends on one TCP connection; prints how many bytes arrived in a second
traffic.py connect <seconds>  opens TCP connections one after another; prints how many a second
traffic.py send <seconds>     sends UDP packets of 64 bytes as fast as it can, once one was answered; prints for how many seconds it did
"""

import itertools
import socket
import struct
import sys
import threading
import time

PORT = 8090
BULK_PORT = 8091
# Each in turn, so that no address and port comes back while conntrack still knows it.
DESTINATIONS = [f"203.0.113.{i}" for i in range(1, 255)]
# Closing resets: no connection waits for a minute with a port that the next one needs.
RESET = struct.pack("ii", 1, 0)


def serve():
    threading.Thread(target=answer, args=(listen(),), daemon=True).start()
    threading.Thread(target=take_in, args=(socket.create_server(("", BULK_PORT)),), daemon=True).start()
    with socket.create_server(("", PORT), backlog=1024) as server:
        print("ready", flush=True)
        while True:
            server.accept()[0].close()


def listen():
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((DESTINATIONS[0], PORT))
    return listener


def answer(listener):
    """The rest of a flow is for a socket that nobody reads, so that the kernel forgets it."""
    while True:
        packet, sender = listener.recvfrom(64)
        flow = listen()
        flow.connect(sender)
        flow.send(packet)


def take_in(server):
    """Tells the other end how many bytes it got."""
    buffer = bytearray(1 << 20)
    while True:
        connection, _ = server.accept()
        with connection:
            count = 0
            while length := connection.recv_into(buffer):
                count += length
            connection.sendall(str(count).encode())


def bulk(seconds):
    block = bytes(1 << 20)
    with socket.create_connection((DESTINATIONS[0], BULK_PORT)) as connection:
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
        arrived = int(connection.makefile().read())
        return arrived / (time.monotonic() - start)


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
        sender.settimeout(10)
        sender.connect((DESTINATIONS[0], PORT))
        sender.send(packet)
        sender.recv(64)
        sender.setblocking(True)
        start = time.monotonic()
        while (elapsed := time.monotonic() - start) < seconds:
            for _ in range(100):
                sender.send(packet)
    return elapsed


if sys.argv[1] == "serve":
    serve()
print({"bulk": bulk, "connect": connect, "send": send}[sys.argv[1]](float(sys.argv[2])))
