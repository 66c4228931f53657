/* tests/cli/ucl_test.c: what of libucl's language is read as what, where a document that is wrong is wrong, and what a
 * hostile one cannot do. */
#include <errno.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/cli/ucl_json.h"

/* ---- files that macros find: all in /files ---- */

static const struct {
    const char *path, *text;
} files[] = {
    {"/files/a.conf", "key = a; more = 1"},
    {"/files/b.conf", "key = b"},
    {"/files/c.ucl", "key = c"},
    {"/files/braces", "{ \"key\": \"braces\" }\n"},
    {"/files/list", "[ 1, 2 ]"},
    {"/files/empty", ""},
    {"/files/place", "here = \"${FILENAME} $CURDIR\""},
    {"/files/wrong", "a = 1\nb = [ 2"},
    {"/files/objects", "o { x = 2; y = 3 }\nl = [ 2 ]\ns = 2"},
    {"/files/scalar", "l = 5; s = [ 2 ]"},
    {"/files/priority", ".priority 2\nkey = high"},
    {"/files/nest", ".include \"/files/a.conf\"\nown = true"},
    {"/files/ping", ".include \"/files/pong\""},
    {"/files/pong", ".include \"/files/ping\""},
    {"/files/self", ".include \"$FILENAME\""},
    {"/files/text", "  one\n\ttwo \"2\"\n\n"},
    {"/files/number", " 42 things"},
    {"/files/sub/x.vm", "in = x"},
    {"/files/many", ".include \"/files/empty\"\n.include \"/files/empty\"\n"},
};
enum { N_FILES = sizeof files / sizeof *files };
static char *large; /* for /files/large */

static char *copy(const char *bytes, size_t n) {
    char *exact = malloc(n ? n : 1); /* without a zero byte behind it */
    assert_non_null(exact);
    memcpy(exact, bytes, n);
    return exact;
}

static enum atoll_status fake_read(void *context, const char *path, size_t max_bytes, struct ucl_bytes *out,
                                   struct atoll_error *err) {
    (void)context;
    const char *text = strcmp(path, "/files/large") == 0 ? large : NULL;
    for (size_t i = 0; i < N_FILES; i++)
        if (strcmp(files[i].path, path) == 0) text = files[i].text;
    if (!text) {
        atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "No such file or directory");
        err->system_errno = ENOENT;
        return ATOLL_E_IO;
    }
    assert_in_range(strlen(text), 0, max_bytes);
    *out = (struct ucl_bytes){copy(text, strlen(text)), strlen(text), strdup(path)};
    return ATOLL_OK;
}

static enum atoll_status fake_match(void *context, const char *pattern,
                                    bool (*each)(void *to, const char *path), void *to,
                                    struct atoll_error *err) {
    (void)context, (void)err;
    for (size_t i = 0; i < N_FILES; i++)
        if (fnmatch(pattern, files[i].path, FNM_PATHNAME) == 0 && !each(to, files[i].path)) break;
    return ATOLL_OK;
}

static const struct ucl_files fake_files = {.read = fake_read, .match = fake_match};
static const struct ucl_variable variables[] = {{"ABI", "unknown"}, {"CURDIR", "/files"}, {0}};
static const struct ucl_options options = {.files = &fake_files, .variables = variables};

static enum atoll_status read_text(const char *text, size_t n, struct ucl_document *out,
                                   struct atoll_error *err) {
    char *exact = copy(text, n);
    enum atoll_status status = ucl_read("top", exact, n, &options, out, err);
    free(exact);
    return status;
}

/* ---- what is read as what ---- */

struct reads {
    const char *feature, *text, *json;
};

static void check(const struct reads *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct ucl_document document;
        struct atoll_error err = {0};
        char *json = NULL;
        size_t size;
        if (read_text(rows[i].text, strlen(rows[i].text), &document, &err) != ATOLL_OK)
            fail_msg("%s: %u:%u: %s", rows[i].feature, err.line, err.column, err.text);
        FILE *out = open_memstream(&json, &size);
        ucl_json_print(out, document.root);
        fclose(out);
        if (strcmp(json, rows[i].json)) print_error("%s:\n", rows[i].feature);
        assert_string_equal(json, rows[i].json);
        free(json);
        ucl_document_free(&document);
    }
}
#define CHECK(rows) check(rows, sizeof(rows) / sizeof *(rows))

static void structure_is_json_or_nginx_like(void **state) {
    (void)state;
    static const struct reads rows[] = {
        {"nothing", "", "{}"},
        {"only comments", "#!/usr/bin/env -S atoll boot\n\n# nothing\n", "{}"},
        {"nginx-like sections", "a = 1;\nsection {\n  b = 2;\n  deeper { c = 3; }\n}\n",
         "{\"a\":1,\"section\":{\"b\":2,\"deeper\":{\"c\":3}}}"},
        {"JSON", "{\"a\": [1, {\"b\": null}], \"c\":\n true}\n", "{\"a\":[1,{\"b\":null}],\"c\":true}"},
        {"a mix of both", "{ a = 1; \"b\": { c : [ x, 'y' ] }, d { e 2 } }",
         "{\"a\":1,\"b\":{\"c\":[\"x\",\"y\"]},\"d\":{\"e\":2}}"},
        {"braces around a part of the whole", "{ a = 1 } b = 2", "{\"a\":1,\"b\":2}"},
        {"a list as the whole", "[ 1, [ 2 ], { a = 3 } ]\n", "[1,[2],{\"a\":3}]"},
        {"\"=\", \":\" and a blank between", "a=1; b:2; c 3; d : 4; e\t5",
         "{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5}"},
        {"\"=\" in front of a brace, or none", "a = { b = 1 }\nc { d = 2 }\ne: { }\nf{}\ng [ 1 ]",
         "{\"a\":{\"b\":1},\"c\":{\"d\":2},\"e\":{},\"f\":{},\"g\":[1]}"},
        {"\";\", \",\" and ends of lines separate", "a = x; b = y, c = z\nd = w;;,\n;e = v",
         "{\"a\":\"x\",\"b\":\"y\",\"c\":\"z\",\"d\":\"w\",\"e\":\"v\"}"},
        {"a separator behind the last", "{ \"a\": [ 1, 2, ], \"b\": 3, }", "{\"a\":[1,2],\"b\":3}"},
        {"nothing has to separate braces", "a { b = 1 } c { d = 2 } e = 3",
         "{\"a\":{\"b\":1},\"c\":{\"d\":2},\"e\":3}"},
        {"ends of lines separate elements", "a = [\n one\n two three\n]", "{\"a\":[\"one\",\"two three\"]}"},
        {"lists in lists, with objects", "a = [ [ 1, 2 ], [ { b = [ 3 ] } ], [] ]",
         "{\"a\":[[1,2],[{\"b\":[3]}],[]]}"},
        {"a value of JSON on the next line", "{ \"a\":\n1, \"b\"\n:\n2 }", "{\"a\":1,\"b\":2}"},
        {"a brace on the next line", "section\n{ a = 1 }\nb =\n# here\n[ 2 ]",
         "{\"section\":{\"a\":1},\"b\":[2]}"},
        {"a returned carriage", "a = 1\r\nb {\r\n c = \"2\"\r\n}\r\n", "{\"a\":1,\"b\":{\"c\":\"2\"}}"},
        {"keys: letters, digits, - . / _ and beyond ASCII",
         "key-1.x = 1; /usr/bin : 2; _u = 3; 9 = 4; \xC3\xA9=5",
         "{\"key-1.x\":1,\"/usr/bin\":2,\"_u\":3,\"9\":4,\"\xC3\xA9\":5}"},
        {"keys in quotes", "\"a b\" = 1; \"c\\\"d\": 2; \"{\" 3", "{\"a b\":1,\"c\\\"d\":2,\"{\":3}"},
        {"keys have cases", "Key = 1; key = 2", "{\"Key\":1,\"key\":2}"},
    };
    CHECK(rows);
}

static void names_nest_sections(void **state) {
    (void)state;
    static const struct reads rows[] = {
        {"a named section", "section \"blah\" { a = 1 }\nother foo { b = 2 }",
         "{\"section\":{\"blah\":{\"a\":1}},\"other\":{\"foo\":{\"b\":2}}}"},
        {"several names", "a b \"c d\" e { f = 1 }", "{\"a\":{\"b\":{\"c d\":{\"e\":{\"f\":1}}}}}"},
        {"a name in front of a list", "a b [ 1 ]", "{\"a\":{\"b\":[1]}}"},
        {"a name and \"=\"", "a b = { c = 1 }", "{\"a\":{\"b\":{\"c\":1}}}"},
        {"sections of the same key are several values, as libucl does it", "s a { x = 1 }\ns b { y = 2 }",
         "{\"s\":[{\"a\":{\"x\":1}},{\"b\":{\"y\":2}}]}"},
        {"words in front of no brace are a value", "a b c\nd \"e\" # f {\n", "{\"a\":\"b c\",\"d\":\"e\"}"},
    };
    CHECK(rows);
}

static void a_key_can_have_several_values(void **state) {
    (void)state;
    static const struct reads rows[] = {
        {"implicit arrays", "a = 1; b = 2; a = x; a = [ 3 ]", "{\"a\":[1,\"x\",[3]],\"b\":2}"},
        {"of objects", "h { p = 1 }\nh { p = 2 }", "{\"h\":[{\"p\":1},{\"p\":2}]}"},
    };
    CHECK(rows);
}

static void comments_say_nothing(void **state) {
    (void)state;
    static const struct reads rows[] = {
        {"to the end of the line", "# x\na = 1 # y\n#z = 2", "{\"a\":1}"},
        {"over lines, in each other", "/* out\n /* of */ use */ a /* how */ = /* so */ 4 /**/;", "{\"a\":4}"},
        {"quotation marks in comments hide their end",
         "/*\n key = \"/* value\"\n key = \"*/value\"\n*/ a = 1", "{\"a\":1}"},
        {"but not a single one", "/* 5\" wide */ a = 1", "{\"a\":1}"},
        {"in strings they are text", "a = \"# /* */\"; b = '/*'", "{\"a\":\"# /* */\",\"b\":\"/*\"}"},
        {"in a word only behind a blank", "a = x#y # z\nb = /srv/*\nc = x /* y */",
         "{\"a\":\"x#y\",\"b\":\"/srv/*\",\"c\":\"x\"}"},
        {"// is none", "a = //x", "{\"a\":\"//x\"}"},
        {"one separates", "a = \"b\" /* */ c = 1", "{\"a\":\"b\",\"c\":1}"},
    };
    CHECK(rows);
}

static void strings_are_of_four_kinds(void **state) {
    (void)state;
    static const struct reads rows[] = {
        {"escapes", "a = \"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
         "{\"a\":\"\\\"\\\\/\\u0008\\u000c\\u000a\\u000d\\u0009\"}"},
        {"what is no escape is itself", "a = \"\\x\\;\"", "{\"a\":\"x;\"}"},
        {"\\uXXXX", "a = \"\\u00e9\\u20AC\\u1F640\"",
         "{\"a\":\"\xC3\xA9\xE2\x82\xAC\xE1\xBD\xA4"
         "0\"}"},
        {"a pair of \\uXXXX", "a = \"\\ud83d\\ude00\"", "{\"a\":\"\xF0\x9F\x98\x80\"}"},
        {"an empty string", "a = \"\"; b = ''", "{\"a\":\"\",\"b\":\"\"}"},
        {"single quotes: as it is", "a = 'b\\n \"c\" $ABI'; d = '\\\\'",
         "{\"a\":\"b\\\\n \\\"c\\\" $ABI\",\"d\":\"\\\\\\\\\"}"},
        {"single quotes: their own mark", "a = 'b\\'c'", "{\"a\":\"b'c\"}"},
        {"single quotes: over lines, joined by a backslash", "a = 'b\nc\\\nd\\\r\ne'",
         "{\"a\":\"b\\u000acde\"}"},
        {"lines", "a = <<EOD\nsome text\n  more\n\nEOD\nb = 1",
         "{\"a\":\"some text\\u000a  more\\u000a\",\"b\":1}"},
        {"lines without a last end", "a = <<EOD\nx\nEOD", "{\"a\":\"x\"}"},
        {"no lines", "a = <<EOD\nEOD\nb = <<E\n\nE", "{\"a\":\"\",\"b\":\"\"}"},
        {"what does not end lines", "a <<EOD\n EOD\nEOD \nEODS\nEO\n# c\n\\n\nEOD;",
         "{\"a\":\" EOD\\u000aEOD \\u000aEODS\\u000aEO\\u000a# c\\u000a\\\\n\"}"},
        {"a comment behind the word of lines", "a = <<END # why\nx\nEND", "{\"a\":\"x\"}"},
        {"what begins no lines", "a = <<eof\nb = << EOF\nc = <<EODx\nd = <",
         "{\"a\":\"<<eof\",\"b\":\"<< EOF\",\"c\":\"<<EODx\",\"d\":\"<\"}"},
        {"lines in a list", "a = [ <<A\nx\nA, <<B\ny\nB\n]", "{\"a\":[\"x\",\"y\"]}"},
        {"words to the end of the line", "a = console=ttyS0 quiet  \nb = 12 monkeys",
         "{\"a\":\"console=ttyS0 quiet\",\"b\":\"12 monkeys\"}"},
        {"pairs of braces in words", "a = x{y}z; b = s[]v\nc = [ p{q}, r ]",
         "{\"a\":\"x{y}z\",\"b\":\"s[]v\",\"c\":[\"p{q}\",\"r\"]}"},
        {"a backslash in a word is itself", "a = foo\\x2dbar\\", "{\"a\":\"foo\\\\x2dbar\\\\\"}"},
        {"but in front of what would end it", "a = x\\;y\\,z\\}", "{\"a\":\"x;y,z}\"}"},
    };
    CHECK(rows);
}

static void words_are_numbers_and_truths(void **state) {
    (void)state;
    static const struct reads rows[] = {
        {"truths", "a = [ true, yes, on, TRUE, false, no, Off ]",
         "{\"a\":[true,true,true,true,false,false,false]}"},
        {"in quotes they are text", "a = [ \"true\", '5' ]", "{\"a\":[\"true\",\"5\"]}"},
        {"null", "a = null; b = NULL", "{\"a\":null,\"b\":\"NULL\"}"},
        {"nan and inf", "a = [ nan, inf, -inf ]", "{\"a\":[nan,inf,\"-inf\"]}"},
        {"integers", "a = [ 0, 12, -7, 9223372036854775807 ]", "{\"a\":[0,12,-7,9223372036854775807]}"},
        {"hexadecimal", "a = [ 0xff, -0xDEADBEEF, 0x, 0xg ]", "{\"a\":[255,-3735928559,\"0x\",\"0xg\"]}"},
        {"floats", "a = [ 1.5, -1e-10, 1., 2e3, .5, 1.2.3, 1e ]",
         "{\"a\":[1.5,-1e-10,1,2000,\".5\",\"1.2.3\",\"1e\"]}"},
        {"thousands", "a = [ 10k, 5M, 1g, 1.5k ]", "{\"a\":[10000,5000000,1000000000,1500]}"},
        {"1024s", "a = [ 1kb, 2Mb, 1GB ]", "{\"a\":[1024,2097152,1073741824]}"},
        {"times", "a = [ 10ms, 1s, 10min, 2h, 1d, 1w, 1y, 0.2s ]",
         "{\"a\":[0.01,1,600,7200,86400,604800,31536000,0.2]}"},
        {"no units", "a = [ 5x, 1 k, 5minutes, 1s2 ]", "{\"a\":[\"5x\",\"1 k\",\"5minutes\",\"1s2\"]}"},
    };
    CHECK(rows);
    struct ucl_document document;
    assert_int_equal(read_text("m = 512M; t = 5min; f = 1.50; x = 0x10", 37, &document, NULL), ATOLL_OK);
    assert_string_equal(ucl_text(document.root, "m"), "512M"); /* text stays what was written */
    assert_string_equal(ucl_text(document.root, "t"), "5min");
    assert_string_equal(ucl_text(document.root, "f"), "1.50");
    assert_null(ucl_text(document.root, "y"));
    ucl_document_free(&document);
}

static void variables_are_put_in(void **state) {
    (void)state;
    static const struct reads rows[] = {
        {"both forms, in strings and words", "a = \"$ABI/${ABI}\"; b = x${ABI}y; c = [ $ABI ]",
         "{\"a\":\"unknown/unknown\",\"b\":\"xunknowny\",\"c\":[\"unknown\"]}"},
        {"in lines", "a = <<E\n$ABI\nE", "{\"a\":\"unknown\"}"},
        {"a name ends where the variable's does", "a = $ABItest", "{\"a\":\"unknowntest\"}"},
        {"unknown ones stay", "a = \"${some}$no${}$ABIS ${AB} $\"; b = \"${x\"",
         "{\"a\":\"${some}$no${}unknownS ${AB} $\",\"b\":\"${x\"}"},
        {"two dollars are one where there is a variable", "a = \"$ABI$$ABI$$$ABI$$$$\"",
         "{\"a\":\"unknown$ABI$unknown$$\"}"},
        {"and two where there is none", "a = \"${some}$no${}$$test$$$$$$$\"",
         "{\"a\":\"${some}$no${}$$test$$$$$$$\"}"},
        {"not in single quotes and keys", "a = '$ABI'; \"$ABI\" = 1", "{\"a\":\"$ABI\",\"$ABI\":1}"},
        {"those of the file", ".include \"/files/place\"", "{\"here\":\"/files/place /files\"}"},
    };
    CHECK(rows);
}

static void files_are_included(void **state) {
    (void)state;
    static const struct reads rows[] = {
        {".include", "a = 1\n.include \"${CURDIR}/a.conf\"\nb = 2",
         "{\"a\":1,\"key\":\"a\",\"more\":1,\"b\":2}"},
        {"its value as a word, in a body, in single quotes",
         ".include /files/b.conf\n.include { /files/b.conf\n}\n.include '/files/b.conf';",
         "{\"key\":[\"b\",\"b\",\"b\"]}"},
        {"into a section", "s { .include \"/files/b.conf\" }", "{\"s\":{\"key\":\"b\"}}"},
        {"one in another, and in braces", ".include \"/files/nest\"; .include \"/files/braces\"",
         "{\"key\":[\"a\",\"braces\"],\"more\":1,\"own\":true}"},
        {"an empty one", ".include \"/files/empty\"", "{}"},
        {"try", ".include(try=true) \"/files/none\"\n.try_include \"/files/none\"\na = 1", "{\"a\":1}"},
        {"parameters over lines, with comments",
         ".include( # which\n try = true;\n priority = 0 ) \"/files/b.conf\"", "{\"key\":\"b\"}"},
        {"parameters that are included", ".include(.include \"/files/empty\") \"/files/b.conf\"",
         "{\"key\":\"b\"}"},
        {"unknown parameters, and none",
         ".include(what=1, \"x y\"=\"()\") \"/files/b.conf\"; .include() \"/files/b.conf\"",
         "{\"key\":[\"b\",\"b\"]}"},
        {"glob", ".include(glob=true) \"/files/?.conf\"", "{\"key\":[\"a\",\"b\"],\"more\":1}"},
        {"glob of what is no pattern", ".include(glob=true) \"/files/b.conf\"", "{\"key\":\"b\"}"},
        {"path: the first that has it", ".include(path=[/none, /files, /files/sub]) \"b.conf\"",
         "{\"key\":\"b\"}"},
        {"path and glob: all", ".include(path=[/files, /files/sub], glob=true) \"*.[cv]*\"",
         "{\"key\":[\"a\",\"b\"],\"more\":1,\"in\":\"x\"}"},
        {"path and try", ".include(path=[/none], try=true) \"b.conf\"", "{}"},
        {"key", ".include(key=\"s\") \"/files/b.conf\"; .include(key=s, prefix=true) \"/files/c.ucl\"",
         "{\"s\":{\"key\":[\"b\",\"c\"]}}"},
        {"prefix: the file's name",
         ".include(prefix=true) \"/files/b.conf\"; .include(prefix=true) \"/files/sub/x.vm\"",
         "{\"b\":{\"key\":\"b\"},\"x\":{\"in\":\"x\"}}"},
        {"target array",
         ".include(key=s; target=array) \"/files/b.conf\"; .include(key=s; target=array) \"/files/c.ucl\"",
         "{\"s\":[{\"key\":\"b\"},{\"key\":\"c\"}]}"},
        {"target array makes one of an object",
         "s { x = 1 }\ns { y = 2 }\n.include(key=s; target=array) \"/files/b.conf\"",
         "{\"s\":[{\"x\":1},{\"y\":2},{\"key\":\"b\"}]}"},
        {"url=false", ".include(url=false) \"/files/b.conf\"", "{\"key\":\"b\"}"},
    };
    CHECK(rows);
}

static void priorities_and_policies_decide_between_values(void **state) {
    (void)state;
    static const char base[] = "o { x = 1 }\nl = [ 1 ]\ns = 1\n";
    static const struct reads rows[] = {
        {"the same priority: several values", "key = 1\n.include \"/files/b.conf\"", "{\"key\":[1,\"b\"]}"},
        {"a higher one replaces, in its place", "key = 1; z = 2\n.include(priority=1) \"/files/b.conf\"",
         "{\"key\":\"b\",\"z\":2}"},
        {"a lower one is ignored", ".priority 3\nkey = 1\n.include(priority=2) \"/files/b.conf\"",
         "{\"key\":1}"},
        {".priority is the rest of its file's",
         "a = 0\n.priority 1\na = 1; b = 1\n.include \"/files/b.conf\"\nkey = 1\n.include "
         "\"/files/priority\"\n.priority(priority=0)\nb = 0",
         "{\"a\":1,\"b\":1,\"key\":\"high\"}"},
        {"a higher one replaces an object whole", "o { x = 1; y { z = 2 } }\n.priority 1\no { y = 3 }",
         "{\"o\":{\"y\":3}}"},
        {"append", base, "{\"o\":{\"x\":1},\"l\":[1],\"s\":1}"},
        {"duplicate=append", "o { x = 1 }\nl = [ 1 ]\ns = 1\n.include(duplicate=append) \"/files/objects\"",
         "{\"o\":[{\"x\":1},{\"x\":2,\"y\":3}],\"l\":[[1],[2]],\"s\":[1,2]}"},
        {"duplicate=merge", "o { x = 1 }\nl = [ 1 ]\ns = 1\n.include(duplicate=merge) \"/files/objects\"",
         "{\"o\":{\"x\":[1,2],\"y\":3},\"l\":[1,2],\"s\":[1,2]}"},
        {"merge where a scalar meets a list, which stays one of several values",
         "l = [ 1 ]; l = 7\n.include(duplicate=merge) \"/files/scalar\"", "{\"l\":[5,7],\"s\":[2]}"},
        {"merge where a scalar meets a list",
         "l = [ 1 ]; s = [ 1, { a = 2 } ]\n.include(duplicate=merge) \"/files/scalar\"",
         "{\"l\":5,\"s\":[1,{\"a\":2},2]}"},
        {"duplicate=rewrite", "o { x = 1 }\nl = [ 1 ]\ns = 1\n.include(duplicate=rewrite) \"/files/objects\"",
         "{\"o\":{\"x\":2,\"y\":3},\"l\":[2],\"s\":2}"},
        {"duplicate=error without one", ".include(duplicate=error) \"/files/objects\"",
         "{\"o\":{\"x\":2,\"y\":3},\"l\":[2],\"s\":2}"},
        {".inherit",
         "d { a = 1; b = 2; b = 3; c { e = 4 } }\nm { .inherit \"d\"\n b = 5; b = 6 }\nn { c = 0\n .inherit "
         "\"d\" }",
         "{\"d\":{\"a\":1,\"b\":[2,3],\"c\":{\"e\":4}},\"m\":{\"a\":1,\"b\":[5,6],\"c\":{\"e\":4}},\"n\":{"
         "\"c\":0,\"a\":1,\"b\":[2,3]}}"},
        {".inherit from itself, from what holds it",
         "d { a = 1; .inherit \"d\" }\nm { x { .inherit \"m\" } }",
         "{\"d\":{\"a\":1},\"m\":{\"x\":{\"x\":{}}}}"},
        {".inherit(replace=true) adds", "d { a = 1 }\nm { a = 2; .inherit(replace=true) \"d\" }",
         "{\"d\":{\"a\":1},\"m\":{\"a\":[2,1]}}"},
    };
    CHECK(rows);
}

static void texts_are_loaded(void **state) {
    (void)state;
    static const struct reads rows[] = {
        {".load", ".load(key=t) \"/files/text\"",
         "{\"t\":\"  one\\u000a\\u0009two \\\"2\\\"\\u000a\\u000a\"}"},
        {"trim", ".load(key=t, trim=true, multiline=true) \"/files/text\"",
         "{\"t\":\"one\\u000a\\u0009two \\\"2\\\"\"}"},
        {"escape", ".load(key=t, trim=true, escape=true) \"/files/text\"",
         "{\"t\":\"one\\\\n\\\\ttwo \\\\\\\"2\\\\\\\"\"}"},
        {"target=int", ".load(key=t; target=int) \"/files/number\"", "{\"t\":42}"},
        {"try", ".load(key=t; try=true) \"/files/none\"", "{}"},
        {"priority", ".load(key=t; priority=2) \"/files/number\"\nt = 1", "{\"t\":\" 42 things\"}"},
        {"an empty file", ".load(key=t) \"/files/empty\"", "{\"t\":\"\"}"},
    };
    CHECK(rows);
}

/* ---- what is wrong ---- */

static void expect_failure(const char *text, uint32_t line, uint32_t column, const char *message) {
    struct ucl_document document;
    struct atoll_error err = {0};
    enum atoll_status status = read_text(text, strlen(text), &document, &err);
    if (status != ATOLL_E_SYNTAX || !strstr(err.text, message) || err.line != line || err.column != column)
        fail_msg("%s: %d, %u:%u: %s", text, (int)status, err.line, err.column, err.text);
    assert_string_equal(document.failed->name, "top");
    ucl_document_free(&document);
}

static void what_is_wrong_has_its_place(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t line, column;
        const char *message;
    } rows[] = {
        {"cpus", 1, 5, "\"=\" is expected"},
        {"cpus \n4", 1, 6, "\"=\" is expected"},
        {"cpus\"4\"", 1, 5, "\"=\" is expected"},
        {"cpus;", 1, 5, "\"=\" is expected"},
        {"memory = 64M,shared\n", 1, 20, "value with commas stands in quotes"},
        {"a := 1", 1, 4, "one \"=\" is enough"},
        {"a = 'b", 1, 5, "string has no end"},
        {"a = 1 /* /* */", 1, 7, "comment has no end"},
        {"/* /* */ a", 1, 1, "comment has no end"},
        {"a = 1\n/* b", 2, 1, "comment has no end"},
        {"\n  = 4", 2, 3, "name is expected"},
        {"\"\" = 1", 1, 1, "empty name"},
        {"a = 1\nb =\nc = 2", 2, 4, "value is missing"},
        {"a { b = }", 1, 9, "value is missing"},
        {"a = [ , ]", 1, 7, "value is missing"},
        {"a = \"b", 1, 5, "no end on its line"},
        {"a = \"b\nc\"", 1, 5, "no end on its line"},
        {"a = \"\\u12\"", 1, 10, "hexadecimal"},
        {"a = \"\\ud800\"", 1, 12, "no character"},
        {"a = \"\\ud800\\u0041\"", 1, 18, "no character"},
        {"a = \"\\udc00\"", 1, 12, "no character"},
        {"a = \"\\u0000\"", 1, 12, "no character"},
        {"a = [ 1, 2", 1, 11, "\"]\" is missing"},
        {"a = [ \"1\" 2 ]", 1, 11, "\",\" or \"]\" is expected"},
        {"a = [ 1 }", 1, 9, "\",\" or \"]\" is expected"},
        {"{\n a = 1\n b {\n", 4, 1, "\"}\" is missing; what it ends begins in line 3"},
        {"{ a = 1", 1, 8, "\"}\" is missing"},
        {"a = 1\n}", 2, 1, "ends nothing"},
        {"[ 1 ] 2", 1, 7, "behind the list"},
        {"a = \"b\" c", 1, 9, "end of the line"},
        {"a = <<E\n", 1, 5, "have no end"},
        {"b = 1\na = <<E\nc\nE e\n", 2, 5, "have no end"},
        {"a = <<E\nb\nE\nc", 4, 2, "\"=\" is expected"},
        {"a = 99999999999999999999", 1, 5, "out of range"},
        {"a = 9223372036854775807k", 1, 5, "out of range"},
        {"a = 1e999", 1, 5, "out of range"},
        {"a = [ 1e300gb ]", 1, 7, "out of range"},
        {"\n .lod \"x\"", 2, 2, "no macro \".lod\""},
        {". = 1", 1, 1, "no macro"},
        {".include\n", 1, 1, "name of a file"},
        {".include \"\"\n", 1, 1, "name of a file"},
        {".include(try=1) \"/files/b.conf\"", 1, 1, "try is true or false"},
        {".include(priority=16) \"/files/b.conf\"", 1, 1, "0 to 15"},
        {".include(priority=high) \"/files/b.conf\"", 1, 1, "0 to 15"},
        {".include(duplicate=join) \"/files/b.conf\"", 1, 1, "\"join\" is no duplicate"},
        {".include(target=set) \"/files/b.conf\"", 1, 1, "\"set\" is no target"},
        {".include(path=/files) \"b.conf\"", 1, 1, "list of folders"},
        {".include(path=[/none]) \"b.conf\"", 1, 1, "no file is found for \"b.conf\""},
        {".include(glob=true) \"/files/*.none\"", 1, 1, "no file is found"},
        {".include(try=true \"x\"", 1, 22, "\")\" is missing"},
        {".include(try=true", 1, 18, "\")\" is missing"},
        {".include(sign=true) \"/files/b.conf\"", 1, 1, "signatures are not checked"},
        {".includes \"/files/b.conf\"", 1, 1, "signatures are not checked"},
        {".include \"http://example.com/x\"", 1, 1, "no URLs"},
        {"key = 1; .include(key=key) \"/files/b.conf\"", 1, 10, "\"key\" is no object"},
        {"\n.include(key=s", 2, 15, "\")\" is missing"},
        {".load \"/files/text\"", 1, 1, "no key"},
        {"t = 1\n.load(key=t) \"/files/text\"", 2, 1, "\"t\" is there already"},
        {".load(key=t; target=int) \"/files/text\"", 1, 1, "no number"},
        {".load(key=t; target=float) \"/files/text\"", 1, 1, "no target"},
        {"m { .inherit \"d\" }\nd { }", 1, 5, "no object \"d\""},
        {"d = 1\nm { .inherit d }", 2, 5, "no object \"d\""},
        {".priority 16", 1, 1, "0 to 15"},
        {".priority", 1, 1, "0 to 15"},
        {".priority 3x", 1, 1, "0 to 15"},
        {".include { /files/b.conf", 1, 10, "\"}\" is missing"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_failure(rows[i].text, rows[i].line, rows[i].column, rows[i].message);
}

static void what_is_wrong_in_another_file_has_both_places(void **state) {
    (void)state;
    static const struct {
        const char *text, *name, *message;
        uint32_t from_line, line;
    } rows[] = {
        {"\n.include \"/files/wrong\"", "/files/wrong", "\"]\" is missing", 2, 2},
        {".include \"/files/list\"", "/files/list", "cannot be included", 1, 1},
        {"a = 1\n\n.include \"/files/none\"", "/files/none", "No such file", 3, 0},
        {".load(key=a) \"/files/none\"", "/files/none", "No such file", 1, 0},
        {".include \"/files/self\"", "/files/self", "includes itself", 1, 1},
        {"o = 1\n.include(duplicate=error) \"/files/objects\"", "/files/objects", "\"o\" is there already", 2,
         1},
        {"l { }\n.include(duplicate=merge) \"/files/objects\"", "/files/objects", "do not merge", 2, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ucl_document document;
        struct atoll_error err = {0};
        assert_int_not_equal(read_text(rows[i].text, strlen(rows[i].text), &document, &err), ATOLL_OK);
        if (!strstr(err.text, rows[i].message)) print_error("%s: %s\n", rows[i].text, err.text);
        assert_non_null(strstr(err.text, rows[i].message));
        assert_string_equal(document.failed->name, rows[i].name);
        assert_string_equal(document.failed->from->name, "top");
        assert_int_equal(document.failed->from_line, rows[i].from_line);
        assert_int_equal(err.line, rows[i].line);
        ucl_document_free(&document);
    }
}

/* ---- hostile documents ---- */

static char *repeat(const char *text, size_t times, const char *last) {
    size_t n = strlen(text);
    char *all = malloc(n * times + strlen(last) + 1);
    assert_non_null(all);
    for (size_t i = 0; i < times; i++) memcpy(all + i * n, text, n);
    strcpy(all + n * times, last);
    return all;
}

static void expect_status(char *text, enum atoll_status status, const char *message) {
    struct ucl_document document;
    struct atoll_error err = {0};
    assert_int_equal(read_text(text, strlen(text), &document, &err), status);
    if (!strstr(err.text, message)) print_error("%.40s: %s\n", text, err.text);
    assert_non_null(strstr(err.text, message));
    ucl_document_free(&document);
    free(text);
}

static void depth_is_bounded(void **state) {
    (void)state;
    expect_status(repeat("a {", 100000, ""), ATOLL_E_SYNTAX, "128 values in each other");
    expect_status(repeat("[", 100000, ""), ATOLL_E_SYNTAX, "128 values in each other");
    expect_status(repeat("a ", 100000, "{ }"), ATOLL_E_SYNTAX, "128 values in each other");
    expect_status(repeat(".include(", 100000, ""), ATOLL_E_SYNTAX, "128 values in each other");
    expect_status(repeat("a {", UCL_DEPTH_MAX - 1, ""), ATOLL_E_SYNTAX, "\"}\" is missing");
}

/* Each inherits the one before, one level deeper or twice. */
static void inheritance_is_bounded(void **state) {
    (void)state;
    char deep[20000] = "x0 { }\n", wide[2000] = "x0 { a = 1 }\n";
    for (int i = 1; i < 400; i++) sprintf(deep + strlen(deep), "x%d { k { .inherit x%d } }\n", i, i - 1);
    for (int i = 1; i < 30; i++)
        sprintf(wide + strlen(wide), "x%d { k { .inherit x%d }; l { .inherit x%d } }\n", i, i - 1, i - 1);
    char *again = malloc(UCL_BYTES_MAX), *at = again + sprintf(again, "big {\n");
    for (int i = 0; i < 20000; i++) at += sprintf(at, "k%d 1\n", i);
    at += sprintf(at, "}\nx {\n");
    for (int i = 0; i < 20000; i++) at += sprintf(at, ".inherit big\n");
    strcpy(at, "}\n");
    expect_status(again, ATOLL_E_SYNTAX, "65536 values");
    expect_status(strdup(deep), ATOLL_E_SYNTAX, "128 values in each other");
    expect_status(strdup(wide), ATOLL_E_SYNTAX, "65536 values");
}

static void numbers_of_values_and_files_are_bounded(void **state) {
    (void)state;
    expect_status(repeat("a=1;", UCL_VALUES_MAX + 1, ""), ATOLL_E_SYNTAX, "65536 values");
    expect_status(repeat(".include /files/empty\n", UCL_FILES_MAX + 1, ""), ATOLL_E_SYNTAX, "1024 files");
    char *name = repeat(".include nnnn", 1000, "\n");
    memset(name + 9, 'n', 12000);
    expect_status(name, ATOLL_E_SYNTAX, "name of a file is too long");
    expect_status(repeat(".include(glob=true, path=[/a, /b], try=true) *\n", 1000, ""), ATOLL_E_SYNTAX,
                  "1024 files");
    expect_status(strdup(".include /files/ping"), ATOLL_E_SYNTAX, "16 files, one in another");
    large = repeat("# 64 letters of a comment, which are nothing but letters here\n", 16000, "");
    expect_status(strdup(".include /files/large"), ATOLL_OK, "");
    expect_status(strdup(".include /files/large\n.include /files/large"), ATOLL_E_LIMIT,
                  "larger than 1048576 bytes");
    expect_status(strdup(".load(key=a) /files/large\n.load(key=b) /files/large"), ATOLL_E_SYNTAX,
                  "1048576 bytes in all files");
    free(large);
    expect_status(repeat(" ", UCL_BYTES_MAX, ""), ATOLL_OK, "");
    expect_status(repeat(" ", UCL_BYTES_MAX + 1, ""), ATOLL_E_LIMIT, "larger than 1048576 bytes");
}

static void variables_make_no_more_than_a_file_may_have(void **state) {
    (void)state;
    expect_status(repeat("$CURDIR", 149000, ""), ATOLL_E_SYNTAX, "name is expected");
    char *text = repeat("$ABI", 200000, "");
    memcpy(text, "a = ", 4);
    expect_status(text, ATOLL_E_SYNTAX, "1048576 bytes by variables");
    expect_status(repeat("a = ${ABI}/${ABI}\n", 50000, ""), ATOLL_OK, "");
}

/* What would take minutes if it were quadratic. */
static void time_is_linear(void **state) {
    (void)state;
    char *keys = malloc(UCL_BYTES_MAX), *at = keys;
    for (int i = 0; i < 60000; i++) at += sprintf(at, "key%d = 1\n", i * 7919 % 60000);
    expect_status(keys, ATOLL_OK, "");
    expect_status(repeat("${", 500000, ""), ATOLL_E_SYNTAX, "name is expected");
    char *dollars = repeat("${", 500000, "");
    memcpy(dollars, "a = ", 4);
    expect_status(dollars, ATOLL_OK, "");
    expect_status(repeat("/* \" */\n", 120000, ""), ATOLL_OK, "");
    expect_status(repeat("\\\"", 500000, ""), ATOLL_E_SYNTAX, "name is expected");
    char *quotes = repeat("\\\"", 500000, " */");
    memcpy(quotes, "/* \"", 4);
    expect_status(quotes, ATOLL_OK, "");
    expect_status(repeat("a b c d e f g h i j;", 50000, ""), ATOLL_OK, "");
    expect_status(repeat("a\n\n\n\n\n\n\n\n", 100000, ""), ATOLL_E_SYNTAX, "\"=\" is expected");
    expect_status(repeat("a=<<E\nE\n", 60000, ""), ATOLL_OK, "");
}

/* The n-th allocation fails, and all behind it. */
static void *fail_nth(void *left, void *p, size_t old_size, size_t new_size) {
    if (new_size > old_size && !(*(unsigned *)left)--) return *(unsigned *)left = 0, NULL;
    return atoll_default_alloc.resize(atoll_default_alloc.context, p, old_size, new_size);
}

static void out_of_memory_is_an_error(void **state) {
    (void)state;
    char *all = repeat("a { b = [ 1, \"x$ABI\", 'y' ]; c d { e = <<E\nlines\nE\n} }\n"
                       "f { .inherit a; .include(key=g, target=array) /files/b.conf\n"
                       ".include(duplicate=merge, glob=true) /files/?.conf\n.load(key=t) /files/text\n}\n",
                       200, "");
    enum atoll_status status = ATOLL_E_NOMEM;
    unsigned n = 0;
    for (; status != ATOLL_OK; n++) {
        unsigned left = n;
        const struct atoll_alloc alloc = {fail_nth, &left};
        const struct ucl_options failing = {.files = &fake_files, .variables = variables, .alloc = &alloc};
        struct ucl_document document;
        struct atoll_error err = {0};
        status = ucl_read("top", all, strlen(all), &failing, &document, &err);
        assert_true(status == ATOLL_OK || status == ATOLL_E_NOMEM);
        ucl_document_free(&document);
    }
    assert_in_range(n, 4, 10000);
    free(all);
}

static void zero_bytes_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } rows[] = {{"a = b\0c", 7},          {"a = \"b\0c\"", 9},     {"a = 'b\0c'", 9},
                {"a\0 = 1", 6},           {"a = <<E\nb\0\nE", 12}, {"a = \0", 5},
                {".include \"a\0\"", 12}, {".include {a\0}", 13},  {".include \0", 10}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ucl_document document;
        struct atoll_error err = {0};
        assert_int_equal(read_text(rows[i].text, rows[i].n, &document, &err), ATOLL_E_SYNTAX);
        ucl_document_free(&document);
    }
}

static void without_files_there_are_no_macros(void **state) {
    (void)state;
    struct ucl_document document;
    struct atoll_error err = {0};
    assert_int_equal(ucl_read("line", ".include \"x\"", 12, NULL, &document, &err), ATOLL_E_SYNTAX);
    assert_non_null(strstr(err.text, "no macros"));
    ucl_document_free(&document);
    assert_int_equal(ucl_read("line", "{\"a\":\"$CURDIR\"}", 15, NULL, &document, &err), ATOLL_OK);
    assert_string_equal(ucl_text(document.root, "a"), "$CURDIR");
    ucl_document_free(&document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structure_is_json_or_nginx_like),
        cmocka_unit_test(names_nest_sections),
        cmocka_unit_test(a_key_can_have_several_values),
        cmocka_unit_test(comments_say_nothing),
        cmocka_unit_test(strings_are_of_four_kinds),
        cmocka_unit_test(words_are_numbers_and_truths),
        cmocka_unit_test(variables_are_put_in),
        cmocka_unit_test(files_are_included),
        cmocka_unit_test(priorities_and_policies_decide_between_values),
        cmocka_unit_test(texts_are_loaded),
        cmocka_unit_test(what_is_wrong_has_its_place),
        cmocka_unit_test(what_is_wrong_in_another_file_has_both_places),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(inheritance_is_bounded),
        cmocka_unit_test(numbers_of_values_and_files_are_bounded),
        cmocka_unit_test(variables_make_no_more_than_a_file_may_have),
        cmocka_unit_test(time_is_linear),
        cmocka_unit_test(out_of_memory_is_an_error),
        cmocka_unit_test(zero_bytes_are_refused),
        cmocka_unit_test(without_files_there_are_no_macros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
