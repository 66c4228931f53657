#!/bin/sh
# The manual page and the completion in the tree are what the command prints. usage: generated_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
root=$samples/..
"$atoll" help --man >"$dir/man"
"$atoll" help --completion bash >"$dir/bash"
check "docs/atoll.1 is current: atoll help --man >docs/atoll.1" cmp "$dir/man" "$root/docs/atoll.1"
check "completions/atoll.bash is current: atoll help --completion bash >completions/atoll.bash" \
    cmp "$dir/bash" "$root/completions/atoll.bash"
if command -v bash >/dev/null; then check "bash reads it" bash -n "$dir/bash"; fi
if command -v man >/dev/null; then check "man reads it" sh -c "man -l '$dir/man' >/dev/null 2>'$dir/warnings'"; fi
exit $failed
