#!/bin/sh
# What the library asks of the C library, and the data it changes: nothing that ends the process or writes to standard
# streams, and no variable that is not listed here with its reason. usage: symbols_test.sh LIBATOLL.A
archive=$1
failed=0
# fault.c hands a fault that is not the library's to whoever had the signal before, the default action among them.
used=$(nm -A --undefined-only "$archive" | sed 's/.*[:/]\([a-z_0-9]*\.c\.o\):/\1 /' | awk '{ print $1, $NF }' |
    grep -v -x -e 'fault.c.o raise' -e 'fault.c.o signal' | sort -u)
for word in exit _exit _Exit quick_exit abort __assert_fail printf vprintf puts putchar fputs fputc fprintf vfprintf \
    fwrite perror psignal err errx warn warnx stdout stderr __printf_chk __vprintf_chk __fprintf_chk __vfprintf_chk \
    raise kill signal system fork vfork execve setlocale chdir setenv putenv umask; do
    echo "$used" | grep " $word\$" && { echo "the library uses $word"; failed=1; }
done

allowed='
alt_stack_key     fault.c: frees the signal stack of a thread that ends
buckets           wait.c: who waits at which address; a futex table is one a process, as shared memories are of no store
collector         heap.c: Boehm GC is one a process
cpu               compile.c: what this processor can do, looked at once
cpu_once          compile.c: guards the one above
innermost         fault.c: the runs of this thread; thread-local
innermost_call    native_callback.c: the native calls of this thread; thread-local
install_once      fault.c: the handlers are of the process
installed         fault.c: the handlers are of the process
native_high       stack.c: where the native stack of this thread begins; thread-local
native_low        stack.c: where it ends; thread-local
opening           module.c: guards the making of compiled code; held for a moment
prepared          fault.c: this thread has a signal stack; thread-local
previous_bus      fault.c: the handler before ours
previous_segv     fault.c: the handler before ours
thread_registered heap.c: this thread is known to the collector; thread-local
'
data=$(nm -f sysv --defined-only "$archive" 2>/dev/null | tr -d ' ' |
    awk -F'|' '$7 ~ /^\.(data|bss|tdata|tbss)|^\*COM\*/ && $7 !~ /^\.data\.rel\.ro/ { print $1 }' |
    sed -e 's/\.[0-9]*$//' -e 's/^[a-z_0-9]*\.//' | sort -u) # inside functions gcc appends a number, clang sets the function's name in front
for name in $data; do
    echo "$allowed" | grep -q "^$name " || { echo "a variable without a reason: $name"; failed=1; }
done
[ -n "$data" ] || { echo "nm told nothing"; failed=1; }
exit $failed
