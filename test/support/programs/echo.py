"""Answers every TCP connection and UDP packet on port 8080 with the address and port that it came from, and takes in
what is sent to TCP port 8081 without an answer. Stands for a service anywhere in the world."""

import selectors
import socket
import struct

# Missing in Python: lets answers come from addresses that only a local route, no device, makes ours.
IPV6_FREEBIND = 78


def text(peer):
    return f"{peer[0].removeprefix('::ffff:')} {peer[1]}\n".encode()


def listener(kind, port):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", port))
    return s


def answer_tcp(s):
    connection, peer = s.accept()
    try:
        connection.sendall(text(peer))
    except OSError:
        pass
    connection.close()


def answer_udp(s):
    _, controls, _, peer = s.recvmsg(2048, 256)
    # The answer must come from the address that was asked, which may be any of a whole prefix.
    asked = [data[:16] for level, kind, data in controls if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)]
    control = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, asked[0] + struct.pack("I", 0))
    try:
        s.sendmsg([text(peer)], [control], 0, peer)
    except OSError:
        pass


def take_in(s):
    connection, _ = s.accept()
    connection.setblocking(False)
    events.register(connection, selectors.EVENT_READ, drain)


def drain(connection):
    try:
        if connection.recv(65536):
            return
    except BlockingIOError:
        return
    except OSError:
        pass
    events.unregister(connection)
    connection.close()


events = selectors.DefaultSelector()
tcp, udp, sink = listener(socket.SOCK_STREAM, 8080), listener(socket.SOCK_DGRAM, 8080), listener(socket.SOCK_STREAM, 8081)
tcp.listen(128)
sink.listen(128)
udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
udp.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
for server, handler in ((tcp, answer_tcp), (udp, answer_udp), (sink, take_in)):
    events.register(server, selectors.EVENT_READ, handler)
print("ready", flush=True)
while True:
    for key, _ in events.select():
        key.data(key.fileobj)
