"""Packets of chosen lengths, and whether they came through.

size.py serve                     on port 8082: answers UDP, and TCP as size.py bulk expects it
size.py whole ADDRESS BYTES       asks by IP packets of this length that nobody may take apart, by UDP
size.py ping ADDRESS BYTES        the same by an ICMP echo request
size.py datagram ADDRESS BYTES    sends so many bytes of payload by UDP, in fragments, and wants them back
size.py answer ADDRESS BYTES      asks the service for an IP packet of this length that nobody may take apart
size.py bulk ADDRESS BYTES        sends so many bytes by TCP, and wants them back

Prints `<peer>`, the address that the service saw (`reply` for ping), or `too big, <MTU>` when the way is narrower, or
`nothing`. What comes back different is an error. Only `datagram` tries again: over IPv6, routers drop fragments that are
too long, and say so.
"""

import errno
import os
import random
import socket
import struct
import sys
import threading

PORT = 8082
SECONDS = 2
# Missing in Python: linux/in.h, linux/in6.h.
IP_MTU_DISCOVER, IP_MTU, IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_FREEBIND = 10, 14, 23, 24, 78
FRAGMENT, WHOLE = 0, 2
HEADERS = {socket.AF_INET: 28, socket.AF_INET6: 48}  # IP, and UDP or ICMP


def fragmenting(s, value):
    """Both levels, for a UDP socket of IPv6 may send IPv4."""
    if s.type != socket.SOCK_RAW or s.family == socket.AF_INET:
        s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, value)
    if s.family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, value)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DONTFRAG, int(value == WHOLE))


def data(size):
    return random.Random(size).randbytes(size)


def peer_text(peer):
    return peer[0].removeprefix("::ffff:").encode() + b" "


def serve():
    for service in (serve_tcp, serve_udp):
        ready = threading.Event()
        threading.Thread(target=service, args=(ready,)).start()
        ready.wait()
    print("ready", flush=True)


def serve_udp(ready):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("::", PORT))
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    s.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    ready.set()
    while True:
        question, controls, _, peer = s.recvmsg(65535, 256)
        asked = next(data for _, kind, data in controls if kind == socket.IPV6_PKTINFO)[:16]
        control = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, asked + struct.pack("I", 0))
        try:
            fragmenting(s, WHOLE if question.startswith(b"answer ") else FRAGMENT)
            s.sendmsg([reply_to(question, peer)], [control], 0, peer)
        except OSError:
            pass


def reply_to(question, peer):
    """The peer and what was sent; of `answer <bytes>` so many, of `short` nothing."""
    text = peer_text(peer)
    if question.startswith(b"answer "):
        return text.ljust(int(question.split()[1]), b".")
    return text if question.startswith(b"short") else (text + question)[: len(question)]


def serve_tcp(ready):
    with socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        ready.set()
        while True:
            threading.Thread(target=send_back, args=server.accept()).start()


def send_back(connection, peer):
    with connection:
        sent = connection.makefile("rb").read()
        connection.sendall(peer_text(peer) + sent)


def connected(kind, protocol=0, port=PORT):
    s = socket.socket(family, kind, protocol)
    s.settimeout(SECONDS)
    s.connect((address, port))
    return s


def narrower():
    six = family == socket.AF_INET6
    # A socket that was connected before may still have the MTU from then.
    s = connected(socket.SOCK_DGRAM)
    return f"too big, {s.getsockopt(*((socket.IPPROTO_IPV6, IPV6_MTU) if six else (socket.IPPROTO_IP, IP_MTU)))}"


def asked_whole(s, question, is_answer):
    """Sends once, and waits for an answer or for the news that the packet was too big."""
    fragmenting(s, WHOLE)
    try:
        s.send(question)
        while not is_answer(received := s.recv(65535)):
            pass
        return received
    except TimeoutError:
        return b"nothing"
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            raise
        return narrower().encode()


def whole(size):
    s = connected(socket.SOCK_DGRAM)
    return asked_whole(s, b"short".ljust(size - HEADERS[family], b"."), bool)


def ping(size):
    six = family == socket.AF_INET6
    s = connected(socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP, 0)
    request, reply = (128, 129) if six else (8, 0)
    # A body of zeros: the checksum of IPv4 is that of the first words. The kernel fills in that of IPv6.
    number = os.getpid() & 0x7FFF
    checksum = 0 if six else 0xFFFF - (0x0800 + number)
    body = struct.pack("!HH", number, 0) + bytes(size - HEADERS[family])
    message = lambda packet: packet if six else packet[(packet[0] & 15) * 4 :]
    is_reply = lambda packet: message(packet)[0] == reply and message(packet)[4:] == body
    answer = asked_whole(s, struct.pack("!BBH", request, 0, checksum) + body, is_reply)
    return b"reply" if len(answer) > HEADERS[family] else answer


def datagram(size):
    s = connected(socket.SOCK_DGRAM)
    fragmenting(s, FRAGMENT)
    s.settimeout(SECONDS / 4)
    sent = data(size)
    for _ in range(8):
        s.send(sent)
        try:
            return checked(s.recv(65535), sent, size)
        except TimeoutError:
            pass
    return b"nothing"


def answer(size):
    s = connected(socket.SOCK_DGRAM)
    s.send(f"answer {size - HEADERS[family]}".encode())
    try:
        return s.recv(65535).rstrip(b".")
    except TimeoutError:
        return b"nothing"


def bulk(size):
    sent = data(size)
    s = connected(socket.SOCK_STREAM)
    s.settimeout(20)
    s.sendall(sent)
    s.shutdown(socket.SHUT_WR)
    received = s.makefile("rb").read()
    return checked(received, sent, size + received.index(b" ") + 1)


def checked(received, sent, length):
    text = received[: received.index(b" ") + 1]
    if received != (text + sent)[:length]:
        sys.exit(f"{len(received)} bytes came back, and they are not those that were sent")
    return text


if sys.argv[1] == "serve":
    serve()
else:
    address = sys.argv[2]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    roles = {"whole": whole, "ping": ping, "datagram": datagram, "answer": answer, "bulk": bulk}
    print(roles[sys.argv[1]](int(sys.argv[3])).decode().strip())
