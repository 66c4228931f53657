#!/bin/bash
# Handlers of hot paths save no register and make no stack frame, and no handler calls the next one: what dispatch.h
# promises, read from the code. Three call functions that are not handlers.
# usage: handlers_test.sh LIBRARY
set -euo pipefail
command -v objdump >/dev/null || { echo "no objdump here"; exit 77; }
hot='^interp_do_(([IF](32|64)_(ADD|SUB|MUL|AND|OR|XOR|SHL|SHR_[SU]|EQZ|EQ|NE|[LG][TE]|[LG][TE]_[SU]|LOAD|LOAD(8|16|32)_[SU]|STORE|STORE(8|16|32))(_[SAI]+)?(_D)?)|MOV[0-9]*|BR|LOOP|BR_TABLE_[AS])$'
leaves='^interp_do_(HOST_CALL|TAIL_HOST|ENTER_COMPILED)$'
objdump -d --no-show-raw-insn "$1" | awk -v hot="$hot" -v leaves="$leaves" '
    /^[0-9a-f]+ <.*>:$/ { name = substr($2, 2, length($2) - 3); inside = name ~ hot; n += inside }
    inside && / push |sub .*,%rsp/ { if (!(name in bad)) print "saves registers: " name; bad[name] = 1; failed = 1 }
    name ~ /^interp_do_/ && name !~ leaves && /call +\*/ { print "calls the next handler: " name; failed = 1 }
    END {
        print n " hot handlers looked at"
        exit failed || n < 100
    }'
