"""Move money between two databases until killed, so that their sum tells whether a dump shows one moment."""

from __future__ import annotations

import random
import typing as t

import pymysql

DATABASES = ("bank_a", "bank_b")
ACCOUNTS = 2000


def main() -> t.NoReturn:
    connection = pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="root")
    with connection.cursor() as cursor:
        for name in DATABASES:
            cursor.execute(f"CREATE DATABASE {name}")
            cursor.execute(
                f"CREATE TABLE {name}.accounts (id INT PRIMARY KEY AUTO_INCREMENT, money INT, note CHAR(50))"
            )
            cursor.executemany(
                f"INSERT INTO {name}.accounts (money, note) VALUES (%s, %s)",
                [(100, "opened")] * ACCOUNTS,
            )
        connection.commit()
        while True:
            source, target = random.sample(DATABASES, 2)
            for name, money in ((source, -1), (target, 1)):
                cursor.execute(
                    f"UPDATE {name}.accounts SET money = money + %s WHERE id = %s", (money, random.randint(1, ACCOUNTS))
                )
            cursor.execute(f"INSERT INTO {source}.accounts (money, note) VALUES (0, 'new')")
            connection.commit()


if __name__ == "__main__":
    main()
