from __future__ import annotations

import shutil
import subprocess
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import files, verify


def scan(text: t.Any, database: t.Any = "shop") -> t.Any:
    scanner = verify.DumpScanner(database=database)
    scanner.feed(text.encode())
    scanner.close()
    return scanner.findings


@pytest.mark.parametrize(
    "line",
    [
        "USE mysql;",
        "use `other`;",
        "/*!40000 USE other */;",
        "CREATE DATABASE other;",
        "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;",
        "/*!40000 DROP DATABASE IF EXISTS `shop`*/;",
        "DROP SCHEMA shop;",
        "ALTER DATABASE `other` CHARACTER SET utf8mb4;",
        "INSERT INTO `other`.`t` VALUES (1);",
        "INSERT INTO `shop`.`t` VALUES (1);",
        "DROP TABLE IF EXISTS `mysql`.`user`;",
        "CREATE TABLE `x`.`t` (a int);",
        "GRANT ALL ON *.* TO x;",
        "CREATE USER x;",
        "/*!50001 CREATE USER x */;",
        "SET GLOBAL a = 1;",
        "SET @@GLOBAL.a = 1;",
        "INSTALL PLUGIN x SONAME 'y';",
        "SET PASSWORD = 'x';",
        "SHUTDOWN;",
        "  USE other;",
    ],
)
def test_statements_that_leave_the_database_are_found(line: t.Any) -> None:
    assert scan(f"-- a dump\n{line}\n") == [line.strip()]


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO `t` VALUES ('USE other;\\nCREATE DATABASE x');\n",
        "INSERT INTO `t.u` VALUES (1);\n",
        "ALTER DATABASE `shop` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;\n",
        "SELECT 1 FROM t\nUSE INDEX (a);\nUSE KEY (b);\n",
        "DELIMITER ;;\nCREATE PROCEDURE p()\nBEGIN\nUSE other;\nGRANT ALL ON *.* TO x;\nEND ;;\nDELIMITER ;\n",
        "SET @@SESSION.SQL_LOG_BIN= 0;\nSET NAMES utf8mb4;\n",
        "/*M!999999\\- enable the sandbox mode */ \n",
        "-- USE other\n",
    ],
)
def test_what_dumps_really_say_is_no_finding(text: t.Any) -> None:
    assert scan(text) == []


def test_after_a_routine_the_scanner_looks_again() -> None:
    assert scan("DELIMITER ;;\nx ;;\nDELIMITER ;\nUSE other;\n") == ["USE other;"]


def test_parts_of_a_long_line_are_no_lines() -> None:
    scanner = verify.DumpScanner(database="shop")
    row = b"x" * 3000
    for part in (
        b"INSERT INTO `t` VALUES ('" + row,
        b"USE other;" + row,
        b"USE other;\\n');\n",
        b"USE evil;\nUSE",
        b" more;",
    ):
        scanner.feed(part)
    scanner.close()
    assert scanner.findings == ["USE evil;", "USE more;"]


def test_pieces_may_end_anywhere() -> None:
    text = b"-- a dump\nINSERT INTO `t` VALUES\n(1,'a'),\n(2,'USE b');\nUSE evil;\n"
    for size in range(1, len(text)):
        scanner = verify.DumpScanner(database="shop")
        for start in range(0, len(text), size):
            scanner.feed(text[start : start + size])
        scanner.close()
        assert scanner.findings == ["USE evil;"]


def test_what_is_loaded_beside_may_not_name_the_live_database() -> None:
    text = "ALTER DATABASE `shop` CHARACTER SET latin1;\n"
    assert scan(text) == []
    assert scan(text, database=None) == [text.strip()]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
class TestFiles:
    def write(self, path: t.Any, text: t.Any = b"-- a dump\nINSERT INTO `t` VALUES (1);\n") -> t.Any:
        data = subprocess.run(["zstd", "-q", "-c"], input=text, check=True, capture_output=True).stdout
        path.write_bytes(data)
        return {"path": path, "database": "shop", "part": "data", "size": len(data), "sha256": files.hash_file(path)}

    def test_a_whole_file_is_right(self, tmp_path: t.Any) -> None:
        assert verify.verify_file(**self.write(tmp_path / "f")) == []

    def test_a_large_file_is_right(self, tmp_path: t.Any) -> None:
        assert verify.verify_file(**self.write(tmp_path / "f", b"INSERT INTO `t` VALUES (1);\n" * 500_000)) == []

    def test_a_short_file(self, tmp_path: t.Any) -> None:
        wanted = self.write(tmp_path / "f")
        (tmp_path / "f").write_bytes(b"123")
        assert "has 3 bytes instead of" in verify.verify_file(**wanted)[0]

    def test_a_flipped_bit(self, tmp_path: t.Any) -> None:
        wanted = self.write(tmp_path / "f")
        data = bytearray((tmp_path / "f").read_bytes())
        data[10] ^= 4
        (tmp_path / "f").write_bytes(data)
        assert "its content is damaged" in verify.verify_file(**wanted)[0]

    def test_a_file_that_is_not_compressed(self, tmp_path: t.Any) -> None:
        path = tmp_path / "f"
        path.write_bytes(b"x" * 3_000_000)
        found = verify.verify_file(
            path=path, database="shop", part="data", size=3_000_000, sha256=files.hash_file(path)
        )
        assert "cannot be decompressed" in found[0]

    def test_a_file_that_leaves(self, tmp_path: t.Any) -> None:
        assert (
            "reaches beyond database `shop`: USE x;" in verify.verify_file(**self.write(tmp_path / "f", b"USE x;\n"))[0]
        )


def test_a_missing_file(tmp_path: t.Any) -> None:
    found = verify.verify_file(path=tmp_path / "none", database="shop", part="data", size=1, sha256="")
    assert found == [f"{tmp_path}/none is missing."]
