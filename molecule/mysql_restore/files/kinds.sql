-- One of each kind: what real schemas have and Sakila lacks. Loads on MariaDB and MySQL alike.
SET NAMES utf8mb4;
SET SESSION sql_mode = '';
SET SESSION time_zone = '+00:00';

CREATE TABLE numbers (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  small TINYINT, big BIGINT, exact DECIMAL(30, 10), rough FLOAT, precise DOUBLE, flags BIT(10),
  twice BIGINT GENERATED ALWAYS AS (small * 2) STORED,
  shown VARCHAR(30) GENERATED ALWAYS AS (CONCAT('#', id)) VIRTUAL,
  KEY twice (twice)
) ENGINE = InnoDB;
INSERT INTO numbers (id, small, big, exact, rough, precise, flags) VALUES
  (1, -128, -9223372036854775808, 12345678901234567890.0123456789, 3.14159, 2.718281828459045, b'1010101010'),
  (18446744073709551615, 127, 9223372036854775807, -0.0000000001, -1e-20, 1.7976931348623157e308, b'0'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE texts (
  a VARCHAR(50), b CHAR(10), c TEXT, d VARCHAR(20) CHARACTER SET latin1, e ENUM('', 'one', 'a,b', 'it''s'),
  f SET('x', 'y', 'z'), g VARBINARY(20), h BINARY(4), i LONGBLOB, j LONGTEXT
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
INSERT INTO texts VALUES
  ('emoji 🐘🔥', 'ö', 'line one\nline two\r\n\tend', _latin1 X'E9E8', 'it''s', 'x,z', X'00FF27', X'00', X'0001020304FF', 'long'),
  ('NULL', '', '''quoted\\', NULL, '', '', '', X'00000000', '', ''),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  ('NULL,NULL', 'a', 'a', 'a', 'a,b', 'y', 'a', 'a', 'a', 'a'),
  ('NULL,NULL', 'a', 'a', 'a', 'a,b', 'y', 'a', 'a', 'a', 'a'),
  ('USE other;', 'b', '\nUSE other;\nCREATE DATABASE evil;\nDELIMITER ;;\n', 'b', 'one', 'x,y,z', 'b', 'b', REPEAT('z', 100000), 'b');

CREATE TABLE times (
  d DATE, t TIME(6), dt DATETIME(3), ts TIMESTAMP(6) NULL, y YEAR
) ENGINE = InnoDB;
INSERT INTO times VALUES
  ('0000-00-00', '-838:59:58.999999', '0000-00-00 00:00:00', '2026-03-29 01:30:00.123456', 1901),
  ('9999-12-31', '00:00:00', '1000-01-01 00:00:00.001', NULL, 2155);

CREATE TABLE documents (id INT PRIMARY KEY, body JSON) ENGINE = InnoDB;
INSERT INTO documents VALUES (1, '{"a": [1, 2, {"b": null}], "ü": "🐘"}'), (2, NULL);

CREATE TABLE places (id INT PRIMARY KEY, spot POINT NOT NULL, area GEOMETRY, SPATIAL KEY spot (spot)) ENGINE = InnoDB;
INSERT INTO places VALUES
  (1, ST_GeomFromText('POINT(1.5 -2.25)'), ST_GeomFromText('POLYGON((0 0, 10 0, 10 10, 0 0))')),
  (2, ST_GeomFromText('POINT(0 0)'), NULL);

CREATE TABLE parts (id INT NOT NULL, day DATE NOT NULL, note VARCHAR(20), PRIMARY KEY (id, day)) ENGINE = InnoDB
  PARTITION BY RANGE (YEAR(day)) (
    PARTITION p2025 VALUES LESS THAN (2026), PARTITION p2026 VALUES LESS THAN (2027), PARTITION rest VALUES LESS THAN MAXVALUE
  );
INSERT INTO parts VALUES (1, '2025-05-05', 'old'), (2, '2026-06-06', 'new'), (3, '2031-01-01', 'future');

CREATE TABLE `odd ``name``, really` (`select` INT, `a.b` INT DEFAULT 7, KEY `x y` (`select`)) ENGINE = InnoDB;
INSERT INTO `odd ``name``, really` (`select`) VALUES (1), (1), (NULL);
CREATE TABLE nothing_in_it (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(10) DEFAULT 'x') ENGINE = InnoDB AUTO_INCREMENT = 42;
CREATE TABLE old_style (id INT PRIMARY KEY, v VARCHAR(10)) ENGINE = MyISAM;
INSERT INTO old_style VALUES (1, 'a'), (2, 'b');
CREATE TABLE child (
  id INT PRIMARY KEY, parent INT, CONSTRAINT child_parent FOREIGN KEY (parent) REFERENCES documents (id) ON DELETE CASCADE,
  CONSTRAINT positive CHECK (id > 0)
) ENGINE = InnoDB;
INSERT INTO child VALUES (1, 1), (2, NULL);

CREATE VIEW b_view AS SELECT id, parent FROM child WHERE id > 0;
CREATE VIEW a_view AS SELECT COUNT(*) AS n, MAX(CONCAT(id, '/', IFNULL(parent, 'none'))) AS most FROM b_view;
CREATE TABLE log (at TIMESTAMP NULL, what VARCHAR(50)) ENGINE = InnoDB;

DELIMITER ;;
CREATE TRIGGER child_log AFTER INSERT ON child FOR EACH ROW
BEGIN
  -- a comment that must survive
  /* and another one */
  INSERT INTO log VALUES (NOW(), CONCAT('child ', NEW.id));
END;;
CREATE FUNCTION twice (n INT) RETURNS INT DETERMINISTIC
  RETURN n * 2 ;;
CREATE PROCEDURE twice (IN n INT, OUT m INT)
BEGIN
  # the same name as the function
  SET m = twice(n);
END;;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 03:00:00' DISABLE DO
  DELETE FROM log WHERE at < NOW() - INTERVAL 30 DAY;;
DELIMITER ;
/*M!100300 CREATE SEQUENCE tickets START WITH 100 INCREMENT BY 10 */;
/*M!100300 SELECT NEXT VALUE FOR tickets */;
/*M!101000 CREATE TABLE addresses (id UUID PRIMARY KEY, net INET6) ENGINE = InnoDB */;
/*M!101000 INSERT INTO addresses VALUES ('123e4567-e89b-12d3-a456-426655440000', '2001:db8::1') */;
