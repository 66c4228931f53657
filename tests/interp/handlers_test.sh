#!/bin/bash
# What dispatch.h promises of the handlers, read from the code: those of hot paths save no register and make no
# stack frame, and every handler leaves by a jump. usage: handlers_test.sh LIBRARY
set -euo pipefail
command -v objdump >/dev/null || { echo "no objdump here"; exit 77; }
hot='^interp_do_(([IF](32|64)_(ADD|SUB|MUL|AND|OR|XOR|SHL|SHR_[SU]|EQZ|EQ|NE|[LG][TE]|[LG][TE]_[SU]|LOAD|LOAD(8|16|32)_[SU]|STORE|STORE(8|16|32))(_[SAI]+)?(_D)?)|MOV[0-9]*|BR|LOOP|BR_TABLE_[AS])$'
# Calls through a pointer: the host's function and, in ENTER_COMPILED, the compiled one.
calling='^interp_do_(HOST_CALL|TAIL_HOST|ENTER_COMPILED)$'
objdump -dr --no-show-raw-insn -j atoll_interp "$1" | awk -v hot="$hot" -v calling="$calling" '
    function fault(what) { print what ": " name; failed = 1 }
    /^[0-9a-f]+ <.*>:$/ {
        name = substr($2, 2, length($2) - 3)
        inside = name ~ hot
        n += name ~ /^interp_do_/
        n_hot += inside
        may = name ~ calling ? 1 : 0
    }
    inside && /\tpush |sub .*,%rsp/ { if (!(name in bad)) fault("saves registers"); bad[name] = 1 }
    /\tcall +\*/ && may-- < 1 { fault("leaves a frame for the next instruction") }
    was_call && /R_X86_64_.*interp_do_/ { fault("leaves a frame for another handler") }
    { was_call = /\tcall / }
    END {
        print n " handlers looked at, " n_hot " of them hot"
        exit failed || n_hot < 100 || n < 1000
    }'
