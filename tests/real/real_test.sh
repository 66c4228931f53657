#!/bin/sh
# A program nobody here wrote, from the sources Debian ships: fetched, compiled for this machine and for WASI, run both
# ways with the same input; the output has to be the same. usage: real_test.sh ATOLL CACHE_FOLDER lua|bzip2|sqlite
# Nothing is installed and no list of the system is changed; exit 77 = skipped, and why.
atoll=$1
cache=$2
program=$3
here=$(cd "$(dirname "$0")" && pwd)
skip() {
    echo "skipped: $*"
    exit 77
}
command -v apt-get >/dev/null || skip "no apt-get to fetch sources with"
mkdir -p "$cache" || exit 1
cd "$cache" || exit 1

# fetch PACKAGE: its original source archive, by the system's own list turned to sources
fetch() {
    ls "$1"_*.orig.tar.* >/dev/null 2>&1 && return
    mkdir -p apt/parts apt/lists/partial apt/cache/archives/partial
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -f "$list" ] && sed 's/^Types:.*/Types: deb-src/' "$list" >"apt/parts/$(basename "$list")"
    done
    if [ -f /etc/apt/sources.list ]; then
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >apt/parts/list.list
    fi
    cat >apt/conf <<END
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$cache/apt/parts";
Dir::State::lists "$cache/apt/lists";
Dir::Cache "$cache/apt/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
END
    APT_CONFIG=$cache/apt/conf
    export APT_CONFIG
    timeout 120 apt-get update >apt/log 2>&1 || skip "the lists of sources cannot be had: $(tail -n 1 apt/log)"
    timeout 120 apt-get source --download-only -qq "$1" >apt/log 2>&1 ||
        skip "the source of $1 cannot be had: $(tail -n 1 apt/log)"
}

# unpack PACKAGE FOLDER: whole or not at all
unpack() {
    [ -d "$2" ] && return
    rm -rf "$2.part" && mkdir "$2.part" || exit 1
    tar xf "$1"_*.orig.tar.* -C "$2.part" --strip-components=1 && mv "$2.part" "$2" || exit 1
}

# build NAME FLAGS SOURCES: NAME natively, NAME.wasm for WASI; again when something of ours is newer
build() {
    name=$1
    shift
    [ -z "$(find "$here" -newer "$name.wasm" -type f 2>/dev/null)" ] && [ -x "$name" ] && [ -f "$name.wasm" ] && return
    command -v clang >/dev/null && echo 'int main(void) { return 0; }' | clang --target=wasm32-wasi -x c - -o probe.wasm 2>wasm.log ||
        skip "no C compiler for wasm32-wasi here: $(head -n 1 wasm.log)"
    ${CC:-clang} -O2 -w "$@" -o "$name" -lm || exit 1
    clang --target=wasm32-wasi -O2 -w -I"$here/wasi" -include "$here/wasi/missing.h" -mexception-handling -mllvm -wasm-enable-sjlj \
        -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS -D_WASI_EMULATED_GETPID -DL_tmpnam=20 "$@" "$here"/wasi/*.c \
        -lwasi-emulated-signal -lwasi-emulated-process-clocks -lwasi-emulated-getpid -o "$name.wasm" || exit 1
}

run_lua() {
    fetch lua5.4
    unpack lua5.4 lua
    # shellcheck disable=SC2046
    build lua.bin $(ls lua/src/*.c | grep -v -e luac.c -e lua.hpp)
    mkdir -p native sandboxed
    cp "$here/script.lua" native/ && cp "$here/script.lua" sandboxed/
    (cd native && ../lua.bin script.lua) >native.out 2>&1 || exit 1
    [ "$(wc -l <native.out)" -gt 40 ] || exit 1
    for tier in interp jit; do
        "$atoll" run --tier=$tier --timeout 120s --dir sandboxed::. lua.bin.wasm script.lua >sandboxed.out 2>&1 || { tail sandboxed.out; exit 1; }
        # an address may be printed where a table is
        sed -i 's/table: 0x[0-9a-f]*/table/; s/table: [0-9a-f]*$/table/' native.out sandboxed.out
        diff native.out sandboxed.out || exit 1
    done
}

run_bzip2() {
    fetch bzip2
    unpack bzip2 bzip2
    cat >driver.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include "bzip2/bzlib.h"
int main(int argc, char **argv) {
    static char in[900000], out[1000000];
    unsigned size = sizeof out;
    size_t n = fread(in, 1, sizeof in, stdin);
    int status = argv[1][0] == 'd' ? BZ2_bzBuffToBuffDecompress(out, &size, in, n, 0, 0)
                                   : BZ2_bzBuffToBuffCompress(out, &size, in, n, 9, 0, 30);
    (void)argc;
    if (status) return 1;
    return fwrite(out, 1, size, stdout) != size;
}
END
    sources="bzip2/blocksort.c bzip2/huffman.c bzip2/crctable.c bzip2/randtable.c bzip2/compress.c bzip2/decompress.c bzip2/bzlib.c"
    # shellcheck disable=SC2086
    build bzip2.bin -I. driver.c $sources
    cat "$here"/../../*/*.c | head -c 800000 >plain
    ./bzip2.bin c <plain >native.bz2 || exit 1
    for tier in interp jit; do
        "$atoll" run --tier=$tier --timeout 120s bzip2.bin.wasm c <plain >sandboxed.bz2 || exit 1
        cmp native.bz2 sandboxed.bz2 || exit 1
        "$atoll" run --tier=$tier --timeout 120s bzip2.bin.wasm d <sandboxed.bz2 | cmp - plain || exit 1
    done
}

run_sqlite() {
    command -v tclsh >/dev/null || skip "SQLite's sources need tclsh to be put together"
    fetch sqlite3
    unpack sqlite3 sqlite
    if [ ! -f sqlite/sqlite3.c ]; then
        (cd sqlite && ./configure --disable-tcl --disable-readline && make sqlite3.c) >sqlite.log 2>&1 || exit 1
    fi
    build sqlite.bin -Isqlite -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_WAL -DSQLITE_MAX_MMAP_SIZE=0 \
        "$here/sql.c" sqlite/sqlite3.c
    rm -rf native && mkdir native
    ./sqlite.bin native/test.db >native.out || exit 1
    [ "$(tail -n 1 native.out)" = done ] || exit 1
    for tier in interp jit; do
        rm -rf sandboxed && mkdir sandboxed
        "$atoll" run --tier=$tier --timeout 300s --dir sandboxed::/data sqlite.bin.wasm /data/test.db >sandboxed.out || exit 1
        diff native.out sandboxed.out && [ -s sandboxed/test.db ] || exit 1
    done
}

case $program in
sqlite) run_sqlite ;;
lua) run_lua ;;
bzip2) run_bzip2 ;;
*) exit 2 ;;
esac
