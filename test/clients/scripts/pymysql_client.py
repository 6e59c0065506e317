"""What a program with PyMySQL does; prints what it saw as JSON."""
import datetime
import decimal
import json
import sys

import pymysql

connection = pymysql.connect(
    host="127.0.0.1", port=int(sys.argv[1]), user="app", password="secret", database="d"
)
seen = {}
with connection.cursor() as cursor:
    cursor.execute("INSERT INTO t VALUES (%s, %s, %s, %s)", (2, "it's ü", decimal.Decimal("2.50"), None))
    cursor.executemany("INSERT INTO t VALUES (%s, %s, %s, %s)", [(3, "c", 3, None), (4, "d", 4, None)])
    cursor.execute("SELECT id, name, price, at FROM t ORDER BY id")
    seen["rows"] = [[str(value) for value in row] for row in cursor.fetchall()]
    seen["names"] = [column[0] for column in cursor.description]
    cursor.execute("SHOW TABLES")
    seen["tables"] = cursor.fetchall()
    cursor.execute("SELECT VERSION()")
    seen["version"] = cursor.fetchone()[0]
    try:
        cursor.execute("SELECT * FROM nosuch")
    except pymysql.err.ProgrammingError as error:
        seen["error"] = error.args[0]
    cursor.execute("SELECT %s", (datetime.date(2026, 11, 22),))
    seen["date"] = cursor.fetchone()[0]
connection.select_db("information_schema")
connection.ping()
connection.commit()
connection.close()
print(json.dumps(seen))
