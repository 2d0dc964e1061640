"""The lab's application: a few pages out of the sakila database.

Small, but real where it matters: every page but `/whoami` reads the database over
its unix socket, as the system user the application runs as, without a password.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import typing as t

import flask
import pymysql
import pymysql.cursors

if t.TYPE_CHECKING:
    import collections.abc as c

DATABASE = os.environ.get("APP_DATABASE", "sakila")
DATABASE_USER = os.environ.get("APP_DATABASE_USER") or getpass.getuser()
DATABASE_SOCKET = os.environ.get("APP_DATABASE_SOCKET", "/run/mysqld/mysqld.sock")

# The server says this of a table that has not been restored yet.
NO_SUCH_TABLE = 1146

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Film rental</title></head>
<body>
  <h1>{{ host }}</h1>
  <p>{{ count }} films in {{ database }}.</p>
  <ul>{% for film in films %}
    <li>{{ film.title }} ({{ film.release_year }}): {{ film.description }}</li>{% endfor %}
  </ul>
</body>
</html>
"""

app = flask.Flask(__name__)


@contextlib.contextmanager
def database(*, timeout: int) -> c.Iterator[pymysql.cursors.DictCursor]:
    """Open the database for one request; nothing may take longer than `timeout` seconds."""
    connection = pymysql.connect(
        unix_socket=DATABASE_SOCKET,
        user=DATABASE_USER,
        database=DATABASE,
        charset="utf8mb4",
        connect_timeout=timeout,
        read_timeout=timeout,
        write_timeout=timeout,
        cursorclass=pymysql.cursors.DictCursor,
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        yield cursor


def read_films(query: str) -> list[dict[str, t.Any]]:
    """Run `query`, which reads the table `film`; without that table there are no films."""
    with database(timeout=5) as cursor:
        try:
            cursor.execute(query)
        except pymysql.err.ProgrammingError as error:
            if error.args[0] != NO_SUCH_TABLE:
                raise
            return []
        return list(cursor.fetchall())


@app.get("/")
def index() -> str:
    """Show which host answers, how many films it knows, and some of them."""
    count = next(iter(read_films("SELECT COUNT(*) AS films FROM film")), {"films": 0})["films"]
    films = read_films("SELECT title, release_year, description FROM film ORDER BY RAND() LIMIT 5")
    return flask.render_template_string(PAGE, host=socket.gethostname(), database=DATABASE, count=count, films=films)


@app.get("/films")
def films() -> flask.Response:
    """List every film."""
    return flask.jsonify(read_films("SELECT film_id, title, release_year FROM film ORDER BY film_id"))


@app.get("/whoami")
def whoami() -> flask.Response:
    """Name the host that answers, without asking the database."""
    return flask.jsonify(host=socket.gethostname())


@app.get("/readyz")
def readyz() -> tuple[flask.Response, int]:
    """Say whether the database answers."""
    about = {"host": socket.gethostname(), "database": DATABASE}
    try:
        with database(timeout=2) as cursor:
            cursor.execute("SELECT 1")
    except pymysql.err.MySQLError as error:
        return flask.jsonify(status="unavailable", reason=str(error), **about), 503
    return flask.jsonify(status="ready", **about), 200


@app.errorhandler(pymysql.err.OperationalError)
def database_is_away(error: pymysql.err.OperationalError) -> tuple[flask.Response, int]:
    """Answer 503 while the database cannot be reached, which is no fault of this program."""
    return flask.jsonify(status="unavailable", host=socket.gethostname(), reason=str(error)), 503
