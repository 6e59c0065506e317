<?php
// What a program with PDO and mysqli does; prints what it saw as JSON.
mysqli_report(MYSQLI_REPORT_OFF);
[, $port] = $argv;
$seen = [];
foreach ([true, false] as $emulated) {
    $pdo = new PDO("mysql:host=127.0.0.1;port=$port;dbname=d;charset=utf8mb4", 'app', 'secret', [
        PDO::ATTR_EMULATE_PREPARES => $emulated,
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
    ]);
    $statement = $pdo->prepare('SELECT id, name, price, at FROM t WHERE id = :id AND name LIKE :name');
    $statement->execute(['id' => 1, 'name' => 'a%']);
    $row = $statement->fetch(PDO::FETCH_ASSOC);
    try {
        $pdo->query('SELECT * FROM nosuch');
    } catch (PDOException $error) {
        $row['error'] = $error->getCode() . ' ' . $error->errorInfo[1];
    }
    $pdo->beginTransaction();
    $pdo->query('SELECT 1')->fetchAll();
    $row['transaction'] = $pdo->inTransaction() && $pdo->commit() && !$pdo->inTransaction();
    $row['tables'] = $pdo->query('SHOW TABLES')->fetchAll(PDO::FETCH_COLUMN);
    $seen[$emulated ? 'emulated' : 'prepared'] = $row;
}
$seen['version'] = $pdo->getAttribute(PDO::ATTR_SERVER_VERSION);
$mysqli = new mysqli('127.0.0.1', 'app', 'secret', 'd', (int) $port);
$mysqli->multi_query('SELECT 1 AS a; SELECT 2 AS b');
do {
    $result = $mysqli->store_result();
    $seen['multi'][] = $result->fetch_assoc();
} while ($mysqli->more_results() && $mysqli->next_result());
$seen['fields'] = array_map(fn ($field) => $field->name, $mysqli->query('SELECT * FROM t LIMIT 0')->fetch_fields());
echo json_encode($seen), "\n";
