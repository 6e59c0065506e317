// What a program with MariaDB Connector/J asks; prints what it saw.
import java.sql.*;

class JdbcClient {
    public static void main(String[] args) throws SQLException {
        String url = "jdbc:mariadb://127.0.0.1:" + args[0] + "/d?user=app&password=secret";
        for (String option : new String[] {"", "&useServerPrepStmts=true", "&useCompression=true"}) {
            try (Connection connection = DriverManager.getConnection(url + option)) {
                query(connection);
            }
        }
        try (Connection connection = DriverManager.getConnection(url)) {
            metadata(connection.getMetaData());
            Statement statement = connection.createStatement();
            statement.setQueryTimeout(1);
            try {
                statement.executeQuery("SELECT SLEEP(30)");
                System.out.println("slept");
            } catch (SQLException error) {
                System.out.println("timeout " + connection.isValid(5));
            }
        }
    }

    static void query(Connection connection) throws SQLException {
        PreparedStatement statement =
            connection.prepareStatement("SELECT id, name, price, at FROM t WHERE id = ? AND at < ?");
        statement.setInt(1, 1);
        statement.setTimestamp(2, Timestamp.valueOf("2027-01-01 00:00:00"));
        ResultSet rows = statement.executeQuery();
        while (rows.next()) {
            System.out.println(rows.getInt(1) + "|" + rows.getString(2) + "|" + rows.getBigDecimal(3)
                + "|" + rows.getTimestamp(4));
        }
        try {
            connection.createStatement().executeQuery("SELECT * FROM nosuch");
        } catch (SQLException error) {
            System.out.println(error.getErrorCode() + " " + error.getSQLState());
        }
    }

    static void metadata(DatabaseMetaData data) throws SQLException {
        System.out.println(data.getDatabaseProductVersion());
        print("catalogs", data.getCatalogs(), "TABLE_CAT");
        print("tables", data.getTables("d", null, "%", null), "TABLE_NAME");
        print("types", data.getTableTypes(), "TABLE_TYPE");
        print("columns", data.getColumns("d", null, "t", "%"), "COLUMN_NAME");
        print("keys", data.getPrimaryKeys("d", null, "t"), "COLUMN_NAME");
        print("indexes", data.getIndexInfo("d", null, "t", false, true), "COLUMN_NAME");
        print("foreign", data.getImportedKeys("d", null, "t"), "FKCOLUMN_NAME");
        print("procedures", data.getProcedures("d", null, "%"), "PROCEDURE_NAME");
    }

    static void print(String what, ResultSet rows, String column) throws SQLException {
        StringBuilder line = new StringBuilder(what);
        while (rows.next()) {
            line.append(' ').append(rows.getString(column));
        }
        System.out.println(line);
    }
}
