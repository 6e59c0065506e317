# What a program with DBD::mysql does; prints what it saw.
use strict;
use warnings;
use DBI;

my ($port) = @ARGV;
for my $server_side (0, 1) {
    my $db = DBI->connect("DBI:mysql:database=d;host=127.0.0.1;port=$port;mysql_server_prepare=$server_side",
        'app', 'secret', { RaiseError => 1, PrintError => 0 });
    my $statement = $db->prepare('SELECT id, name, price, at FROM t WHERE id = ? AND name = ?');
    $statement->execute(1, 'ann');
    print join('|', map { defined $_ ? $_ : 'NULL' } $statement->fetchrow_array), "\n";
    print join(',', @{ $statement->{NAME} }), "\n";
    $statement->finish;
    my $tables = $db->table_info(undef, undef, 't', 'TABLE')->fetchall_arrayref({});
    print scalar(@$tables), ' ', $tables->[0]{TABLE_NAME}, "\n";
    my $columns = $db->column_info(undef, 'd', 't', '%')->fetchall_arrayref({});
    print join(',', map { $_->{COLUMN_NAME} } @$columns), "\n";
    eval { $db->do('SELECT * FROM nosuch') };
    print $db->err, ' ', $db->state, "\n";
    print $db->ping ? "alive\n" : "dead\n";
    $db->disconnect;
}
