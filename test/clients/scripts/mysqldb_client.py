"""What a program with mysqlclient (MySQLdb) does; prints what it saw as JSON."""
import json
import sys

import MySQLdb
import MySQLdb.cursors

connection = MySQLdb.connect(
    host="127.0.0.1",
    port=int(sys.argv[1]),
    user="app",
    passwd="secret",
    db="d",
    charset="utf8mb4",
    cursorclass=MySQLdb.cursors.DictCursor,
)
seen = {}
cursor = connection.cursor()
cursor.execute("SELECT id, name, price, at FROM t WHERE id = %s", (1,))
seen["rows"] = [{name: str(value) for name, value in row.items()} for row in cursor.fetchall()]
cursor.execute("SHOW COLUMNS FROM t")
seen["columns"] = [row["Field"] for row in cursor.fetchall()]
try:
    cursor.execute("SELEC 1")
except MySQLdb.ProgrammingError as error:
    seen["error"] = error.args[0]
unbuffered = connection.cursor(MySQLdb.cursors.SSCursor)
unbuffered.execute("SELECT COUNT(*) FROM information_schema.columns")
seen["streamed"] = unbuffered.fetchone()[0] > 100
unbuffered.close()
seen["stat"] = connection.stat().startswith("Uptime: ")
connection.close()
print(json.dumps(seen))
