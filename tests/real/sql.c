/* tests/real/sql.c: runs SQL on a database in a file and prints the rows: the driver for the SQLite test. */
#include <stdio.h>
#include <string.h>
#include "sqlite3.h"

static int print_row(void *unused, int n, char **values, char **names) {
    (void)unused, (void)names;
    for (int i = 0; i < n; i++) printf("%s%s", i ? "|" : "", values[i] ? values[i] : "NULL");
    putchar('\n');
    return 0;
}

static int run(sqlite3 *db, const char *sql) {
    char *message = NULL;
    if (sqlite3_exec(db, sql, print_row, NULL, &message) == SQLITE_OK) return 0;
    printf("error: %s\n", message);
    sqlite3_free(message);
    return 1;
}

/* 20000 rows of which every number follows from the last. */
static int fill(sqlite3 *db) {
    sqlite3_stmt *insert;
    unsigned seed = 1;
    if (sqlite3_prepare_v2(db, "insert into item values (?, ?, ?, ?)", -1, &insert, NULL)) return 1;
    for (int i = 0; i < 20000; i++) {
        char name[40];
        seed = seed * 1103515245u + 12345u;
        snprintf(name, sizeof name, "item %u", seed >> 16 & 0xFFF);
        sqlite3_bind_int(insert, 1, i);
        sqlite3_bind_text(insert, 2, name, -1, SQLITE_TRANSIENT);
        sqlite3_bind_int(insert, 3, (int)(seed >> 8 & 0x3FF));
        sqlite3_bind_double(insert, 4, (seed & 0xFFFF) / 7.0);
        if (sqlite3_step(insert) != SQLITE_DONE) return 1;
        sqlite3_reset(insert);
    }
    return sqlite3_finalize(insert) != SQLITE_OK;
}

int main(int argc, char **argv) {
    sqlite3 *db;
    if (argc < 2 || sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "unix-none"))
        return 1;
    int failed = run(db, "create table item (id integer primary key, name text, shelf integer, price real);"
                         "create table shelf (id integer primary key, place text); begin");
    failed |= fill(db);
    failed |= run(
        db,
        "insert into shelf select distinct shelf, 'place ' || (shelf % 17) from item; commit;"
        "create index by_name on item (name); create index by_shelf on item (shelf, price);"
        "select count(*), sum(shelf), round(sum(price), 3) from item;"
        "select name, count(*) as n from item group by name order by n desc, name limit 5;"
        "select s.place, count(*), round(avg(i.price), 4) from item i join shelf s on s.id = i.shelf"
        " group by s.place order by 2 desc, 1 limit 5;"
        "select i.id, i.price from item i where price > (select avg(price) * 1.99 from item) and name like "
        "'%7' order by price, id limit 5;"
        "with recursive f(n, a, b) as (select 1, 0, 1 union all select n + 1, b, a + b from f where n < 80) "
        "select n, a from f where n % 20 = 0;"
        "begin; delete from item where id % 3 = 0; select count(*) from item; rollback; select count(*) from "
        "item;"
        "update item set name = upper(name) where shelf between 100 and 200;"
        "select count(*) from item where name glob 'ITEM*';"
        "select rank, total from (select shelf, sum(price) over (partition by shelf order by id) as total,"
        " row_number() over (order by price desc, id) as rank from item) where rank <= 3;"
        "delete from item where id > 15000; vacuum; pragma integrity_check;"
        "select name, type, substr(hex(zeroblob(3)), 1, 4), printf('%08.3f', 3.14159), "
        "json_extract('{\"a\":[1,2]}', '$.a[1]') from sqlite_schema order by name;");
    failed |= !run(db, "select nothing from nowhere");
    sqlite3_close(db);
    printf("%s\n", failed ? "failed" : "done");
    return failed;
}
