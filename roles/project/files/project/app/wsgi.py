"""A first application, to be replaced by yours. `/readyz` is what a rebuilt server has to answer."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket

import flask
import pymysql

app = flask.Flask(__name__)


def ask_database(query: str) -> tuple[object, ...] | None:
    """Run a query as the system user this runs as, over the socket and without a password."""
    connection = pymysql.connect(
        unix_socket="/run/mysqld/mysqld.sock",
        user=getpass.getuser(),
        database=os.environ["APP_DATABASE"],
        connect_timeout=2,
        read_timeout=2,
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()


@app.get("/")
def index() -> str:
    """Greet the visitor."""
    return f"It works, on {socket.gethostname()}.\n"


@app.get("/readyz")
def readyz() -> tuple[dict[str, str], int]:
    """Answer 200 when this server can do its work, 503 when it cannot."""
    try:
        ask_database("SELECT 1")
    except pymysql.err.MySQLError as error:
        return {"status": "unavailable", "reason": str(error)}, 503
    return {"status": "ready"}, 200
