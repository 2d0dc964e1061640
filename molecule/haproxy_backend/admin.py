"""Somebody's own hand on the admin socket: send the commands given, print the answers."""

from __future__ import annotations

import socket
import sys

for command in sys.argv[1:]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect("/run/haproxy/admin.sock")
        connection.sendall(f"{command}\n".encode())
        while part := connection.recv(65536):
            sys.stdout.write(part.decode())
