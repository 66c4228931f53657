#!/bin/sh
# How `atoll boot` ends, what it prints where, and that nothing of it is left. usage: atoll_boot_test.sh ATOLL KERNEL ENGINE
atoll=$1 kernel=$2 engine=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# expect NAME STATUS OUTPUT MESSAGE -- ARGUMENTS...: a pattern each; empty: whatever it is.
expect() {
    name=$1 want=$2 output=$3 message=$4
    shift 5
    "$atoll" boot "$@" >"$dir/out" 2>"$dir/err" </dev/null
    status=$?
    if [ $status -ne "$want" ] || ! grep -q -- "$output" "$dir/out" && [ -n "$output" ] ||
        ! grep -q -- "$message" "$dir/err" && [ -n "$message" ]; then
        echo "FAILED: $name: status $status, not $want; output, messages:"
        tail -n 5 "$dir/out" "$dir/err"
        failed=1
    else
        echo "ok: $name"
    fi
}

# ---- without a machine ----
expect "no such kernel" 127 '' 'No such file' -- --kernel /nonexistent/vmlinuz
expect "no such initrd" 127 '' 'No such file' -- --kernel "$kernel" --initrd /nonexistent/initrd
expect "no such engine" 2 '' 'does not take "fast"' -- --kernel "$kernel" --engine fast
expect "no memory" 2 '' 'takes 16M to 1T, .* not "1M";' -- --kernel "$kernel" --memory 1M
expect "memory in bytes" 2 '' 'not "512", which are bytes' -- --kernel "$kernel" --memory 512
expect "memory of no kind" 2 '' 'SIZE,shared or SIZE,private, not "64M,common"' -- --kernel "$kernel" --memory 64M,common
expect "memory without a kind behind its comma" 2 '' 'not "64M,"' -- --kernel "$kernel" --memory 64M,
expect "a kind of memory without a size" 2 '' 'not ",shared"' -- --kernel "$kernel" --memory ,shared
expect "no processors" 2 '' 'does not take "0"' -- --kernel "$kernel" --cpus 0
expect "too many processors" 2 '' 'does not take "129"' -- --kernel "$kernel" --cpus 129
expect "no time" 2 '' 'does not take "soon"' -- --kernel "$kernel" --timeout soon
printf 'kernel = /nonexistent\nmemry = 64M\n' >"$dir/typo.vm"
expect "a flag that is none in a file" 2 '' 'typo.vm:2: there is no flag "memry"; perhaps memory' -- "$dir/typo.vm"
printf '{ "stats": maybe }' >"$dir/bool.vm"
expect "a flag without a value in a file" 2 '' 'bool.vm:1: stats is true or false' -- "$dir/bool.vm"
printf 'cpus = 1\nmemory = "lots"\n' >"$dir/value.vm"
expect "a value that is none in a file" 2 '' 'value.vm:2: this line' -- "$dir/value.vm"
printf 'cpus ' >"$dir/syntax.vm"
expect "a file that is none" 2 '' 'syntax.vm:1:6: "=" is expected' -- "$dir/syntax.vm"
printf 'net = user,hostfwd=tcp::80-:80\n' >"$dir/comma.vm"
expect "a value with a comma" 2 '' 'comma.vm:1: there is no flag "hostfwd" (a value with commas stands in quotes)' -- "$dir/comma.vm"
printf '.include "%s"' "$dir/typo.vm" >"$dir/outer.vm"
expect "what is wrong in a file that is included" 2 '' 'typo.vm:2: there is no flag "memry"' -- "$dir/outer.vm"
expect "and where that is" 2 '' 'outer.vm:1: included here' -- "$dir/outer.vm"
printf '.include "${FILENAME}"' >"$dir/loop.vm"
expect "a file that includes itself" 2 '' 'loop.vm:1:1: a file that includes itself' -- "$dir/loop.vm"
printf '.include "%s/pong.vm"' "$dir" >"$dir/ping.vm"
printf '.include "%s/ping.vm"' "$dir" >"$dir/pong.vm"
expect "files that include each other" 2 '' 'more than 16 files, one in another' -- "$dir/ping.vm"
printf 'cpus = 1\ndisk "data" {\n  overlay = true\n}\n' >"$dir/section.vm"
expect "a section that lacks a part" 2 '' 'section.vm:2: disk: its "file" is missing' -- "$dir/section.vm"
printf 'net user {\n  hostfwd = none\n}\n' >"$dir/section.vm"
expect "a section that is not taken" 2 '' 'section.vm:1: this line is not taken' -- "$dir/section.vm"
printf '.include(sign=true) "x"\n' >"$dir/sign.vm"
expect "a signature" 2 '' 'sign.vm:1:1: signatures are not checked here' -- "$dir/sign.vm"
printf '.include "/nonexistent/b.vm"' >"$dir/lacks.vm"
expect "no such file to be included" 127 '' 'b.vm: No such file' -- "$dir/lacks.vm"
expect "no such file" 127 '' 'No such file' -- /nonexistent/a.vm
n_flags=0
for flag in $("$atoll" help boot | sed -n '/--help/d; s/^  *\(-[a-z], \)*--\([a-z-]*\).*/\2/p'); do
    n_flags=$((n_flags + 1))
    printf 'kernel = /nonexistent\n%s = "true"\n' "$flag" >"$dir/flag.vm"
    "$atoll" boot "$dir/flag.vm" >"$dir/out" 2>&1 </dev/null && { echo "FAILED: no kernel, but $flag"; failed=1; }
    grep -q 'there is no flag' "$dir/out" && { echo "FAILED: $flag has no key in a file"; failed=1; }
done
[ $n_flags -ge 30 ] || { echo "FAILED: $n_flags flags with keys"; failed=1; }
expect "an argument that is none" 2 '' 'is no flag, and no file NAME.vm' -- guest
mkdir "$dir/root"
expect "a command without a root" 2 '' '"ls" is for guests with --rootfs' -- --kernel "$kernel" -- ls
expect "--rw without a root" 2 '' '"--rw" is for' -- --kernel "$kernel" --rw
expect "--cwd without a root" 2 '' '"--cwd" is for' -- --kernel "$kernel" --cwd /
expect "a place to start that is no path" 2 '' 'does not take "src"' -- --kernel "$kernel" --rootfs "$dir/root" --cwd src
expect "no such console" 2 '' 'does not take "hvc0"' -- --kernel "$kernel" --console hvc0
expect "a root and a console" 2 '' 'which needs no --console' -- --kernel "$kernel" --rootfs "$dir/root" --console virtio
expect "a root and an initrd" 2 '' 'of its own' -- --kernel "$kernel" --rootfs "$dir/root" --initrd "$kernel"
expect "no such root" 125 '' 'cannot open directory .*nowhere' -- --kernel "$kernel" --rootfs "$dir/nowhere"
expect "no such folder" 125 '' 'cannot open directory .*nowhere' -- --kernel "$kernel" --dir "$dir/nowhere"
expect "a folder of proc" 125 '' 'proc' -- --kernel "$kernel" --dir /proc::x
expect "a place that is no path" 2 '' 'no path from the root' -- --kernel "$kernel" --rootfs "$dir/root" --dir "$dir::here"
expect "a long tag" 2 '' '36 bytes' -- --kernel "$kernel" --dir "$dir::0123456789012345678901234567890123456"
expect "no variable" 2 '' 'does not take "=x"' -- --kernel "$kernel" --rootfs "$dir/root" --env =x
expect "no such disk" 127 '' 'No such file' -- --kernel "$kernel" --disk /nonexistent/disk.img:ro
expect "a disk with options that contradict" 2 '' 'read only and written' -- --kernel "$kernel" --disk x.img:ro:snapshot
expect "a disk that is thrown away and kept" 2 '' "'snapshot' contradicts what follows it" -- --kernel "$kernel" \
    --disk x.img:snapshot:overlay=y.qcow2
expect "a disk of two formats" 2 '' "'raw' contradicts what follows it" -- --kernel "$kernel" --disk x.img:raw:qcow2
expect "a disk with an empty name" 2 '' 'names no disk image' -- --kernel "$kernel" --disk :ro
[ "$engine" = soft ] || [ -w /dev/kvm ] || { echo "skipped: no /dev/kvm here"; [ $failed -eq 0 ] && exit 77; exit 1; }

guest() { # NAME STATUS OUTPUT MESSAGE COMMAND-LINE [FLAGS]
    name=$1 want=$2 output=$3 message=$4 line=$5
    shift 5
    expect "$name" "$want" "$output" "$message" -- --engine "$engine" --kernel "$kernel" --append "$line" "$@"
}
expect "no modules" 125 '' 'modules.dep: No such file' -- --engine "$engine" --kernel "$kernel" --rootfs "$dir/root" --modules "$dir"
expect "no kernel" 126 '' 'neither bzImage nor ELF' -- --engine "$engine" --kernel "$0"

# ---- ends ----
guest "power off" 0 '^tiny: off$' '' off
guest "panic" 255 'Call Trace' 'the guest panicked: .*not syncing: just so' panic --timeout 60
guest "panic, then a reset" 255 '' 'the guest panicked: .*not syncing: and again' panic-reset --timeout 60
guest "a program that shows an old panic" 0 'long ago' '' old-panic --timeout 60
guest "triple fault" 255 '' 'triple fault' fault --timeout 60
guest "timeout while it runs" 124 '^tiny: hang$' 'timeout' hang --timeout 5
guest "timeout while it is halted" 124 '^tiny: halt$' 'timeout' halt --timeout 5
guest "a reset boots again" 124 '^tiny: reset$' 'timeout' reset --timeout 5
guest "several processors, of which one runs" 0 '^tiny: off$' '' off --cpus 8
guest "memory above 4 GiB" 0 '^tiny: off$' '' off --memory 5G
guest "shared memory above 4 GiB" 0 '^tiny: off$' 'guest memory is shared' off --memory 5G,shared --verbose
guest "private memory" 0 '^tiny: off$' 'guest memory is private' off --memory 64M,private --verbose
(ulimit -f 1000000; "$atoll" boot --engine "$engine" --kernel "$kernel" --append off --memory 1G,shared >"$dir/out" 2>&1 </dev/null)
[ $? -eq 125 ] && grep -q 'shared guest memory: File too large' "$dir/out" || { echo "FAILED: shared memory beyond ulimit -f"; cat "$dir/out"; failed=1; }
(ulimit -f 1000000; "$atoll" boot --engine "$engine" --kernel "$kernel" --append off --memory 1G >"$dir/out" 2>&1 </dev/null) ||
    { echo "FAILED: memory beyond ulimit -f"; cat "$dir/out"; failed=1; }
if [ "$engine" = soft ]; then
    (ulimit -f 4; "$atoll" boot --engine "$engine" --kernel "$kernel" --append off >"$dir/out" 2>&1 </dev/null)
    [ $? -eq 125 ] && grep -q "software CPU's code: File too large" "$dir/out" || { echo "FAILED: no room for code is told"; cat "$dir/out"; failed=1; }
fi
if gzip -c "$kernel" >"$dir/kernel.gz"; then
    expect "a kernel packed with gzip" 0 '^tiny: packed' '' -- --engine "$engine" --kernel "$dir/kernel.gz" --append "packed"
fi

cat >"$dir/machine.vm" <<END
#!/usr/bin/env -S atoll boot
kernel = $kernel
engine = $engine; memory = 64M
append = "off from a file"   # its first word counts
stats = true
END
expect "a machine as a file" 0 '^tiny: off from a file$' "engine $engine, [0-9]* exits" -- "$dir/machine.vm"
expect "a flag behind the file" 0 '^tiny: off by a flag$' '' -- "$dir/machine.vm" --append "off by a flag"
printf '.include "${CURDIR}/machine.vm"\n.include(try=true) "/nonexistent/x.vm"\nappend "off $CURDIR $OTHER $$"\n' >"$dir/more.vm"
expect "a file that includes another" 0 "^tiny: off $dir \$OTHER \$\$" 'exits' -- "$dir/more.vm"
cat >"$dir/sections.vm" <<END
.include(glob=true, path=["$dir"]) "machine.v?"
.priority 1
machine { memory { size = 64M; private = true }; cpus = 1 }
append = "off with sections"
END
expect "a machine of sections, with priorities" 0 '^tiny: off with sections$' 'guest memory is private' -- "$dir/sections.vm" --verbose
printf 'off from a loaded text\n' >"$dir/line.txt"
printf '.load(key=append, trim=true, priority=1) "${CURDIR}/line.txt"\n.include "${CURDIR}/machine.vm"\n' >"$dir/load.vm"
expect "a text from a file" 0 '^tiny: off from a loaded text$' '' -- "$dir/load.vm"
awk 'BEGIN { printf "append = "; for (i = 0; i < 90000; i++) printf "$FILENAME"; print "" }' >"$dir/long.vm"
expect "a file that grows by variables" 2 '' 'long.vm:1:[0-9]*: more than 1048576 bytes by variables' -- "$dir/long.vm"
chmod +x "$dir/machine.vm"
mkdir "$dir/bin" && ln -s "$(realpath "$atoll")" "$dir/bin/atoll"
PATH=$dir/bin:$PATH "$dir/machine.vm" --timeout 60 >"$dir/out" 2>&1 </dev/null || { echo "FAILED: a file that runs itself"; failed=1; }
grep -q '^tiny: off from a file$' "$dir/out" || { echo "FAILED: a file that runs itself"; cat "$dir/out"; failed=1; }
# ---- scripts ----
script() { # NAME STATUS OUTPUT MESSAGE COMMAND-LINE: the script is standard input
    cat >"$dir/a.script"
    guest "$1" "$2" "$3" "$4" "$5" --timeout 100 --script "$dir/a.script"
}
script "a script logs in and presses the power button" 0 'hello, root' '' login <<'END'
expect "tiny: "
fail "no such guest" when /panic|oops/i
expect /login: /
type "root"
expect /^hello, r..t$/
expect "# "
power off 60s
END
script "a script that waits in vain" 123 'login: ' 'a.script:2:1: "password" did not come within 1 s' login <<'END'
expect "tiny: "
expect "password" 1s
END
script "a script that fails shows what was seen" 123 '' 'guest: \\1b\[2Jlogin: ' login <<'END'
expect "password" 1s
END
script "a script that says when it fails" 123 '' 'a.script:1:1: it has logged in' login <<'END'
fail "it has logged in" when "hello"
expect "login: "
type "x"
wait off 60s
END
script "a guest that goes before its script" 123 'tiny: off' 'powered off before the script' off <<'END'
expect "never" 60s
END
script "output before the end counts" 0 'tiny: off' '' off <<'END'
expect "tiny: "
wait off 60s
END
script "a script goes on after a reset" 0 '' '' login-reset <<'END'
expect "login: "
type "one"
expect "hello, one"
expect "login: "
type "two"
expect "hello, two"
kill
END
printf 'expct "x"\n' >"$dir/a.script"
expect "a script that is none" 2 '' 'a.script:1:1: no step begins so' -- --kernel "$kernel" --script "$dir/a.script"
expect "no such script" 127 '' 'No such file' -- --kernel "$kernel" --script /nonexistent/a
printf 'copy-in "/nonexistent/a" "/b"\n' >"$dir/a.script"
expect "no file to copy" 2 '' 'a.script:1: /nonexistent/a: ' -- --kernel "$kernel" --script "$dir/a.script"
printf 'copy-out "/b" "%s/new"\n' "$dir" >"$dir/a.script"
guest "a copy that does not come" 123 '' 'powered off before' off --script "$dir/a.script"
[ ! -e "$dir/new" ] || { echo "FAILED: a copy that did not come left a file"; failed=1; }
printf 'expect "tiny: copy"\ncopy-out "/b" "%s/new"\nwait off' "$dir" >"$dir/a.script"
guest "a copy that comes" 0 '' '' copy --script "$dir/a.script"
[ "$(cat "$dir/new")" = ABC ] || { echo "FAILED: a copy that comes"; failed=1; }
echo "a longer text" >"$dir/new"
guest "a copy in the place of another file" 0 '' '' copy --script "$dir/a.script"
[ "$(cat "$dir/new")" = ABC ] || { echo "FAILED: a copy in the place of another file"; failed=1; }
cat >"$dir/script.vm" <<END
kernel = $kernel
engine = $engine
append = login
script = <<DONE # up to there
expect "login: "
type "me"
expect "hello, me"

expect "hello, you" 500ms
DONE
memory = 64M
END
expect "a script in a machine's file" 123 'hello, me' 'script.vm:9:1: "hello, you" did not' -- "$dir/script.vm"
printf 'append = <<X\na\nX\n' >"$dir/lines.vm"
expect "lines that are no script" 2 '' 'lines.vm:1: append is one line' -- "$dir/lines.vm"
# ---- disks ----
"$atoll" disk create "$dir/a.qcow2" 64M && truncate -s 64M "$dir/b.img"
mkdir "$dir/tmp"
export TMPDIR="$dir/tmp"
guest "a machine with disks" 0 '^tiny: off$' '' off --disk "$dir/a.qcow2" --disk "$dir/b.img:snapshot" \
    --disk "$dir/b.img:ro" --disk "$dir/b.img:overlay"
export TMPDIR=/nonexistent
guest "an overlay of something else" 126 '' "it is not an overlay of '$dir/b.img'" off --disk "$dir/b.img:overlay=$dir/a.qcow2"
guest "a snapshot without a place" 127 '' "b.img: cannot make a throw-away file in '/nonexistent': No such file" off --disk "$dir/b.img:snapshot"
unset TMPDIR
[ -z "$(ls -A "$dir/tmp")" ] || { echo "FAILED: a snapshot left something"; failed=1; }
"$atoll" disk check "$dir/b.img.overlay.qcow2" >/dev/null || { echo "FAILED: no overlay"; failed=1; }
guest "one disk twice" 126 '' 'in use by somebody else' off --disk "$dir/b.img" --disk "$dir/b.img"
guest "a disk that is no image" 126 '' 'this is no qcow2 image' off --disk "$dir/b.img:qcow2"

# ---- the console ----
printf 'hello\n' | "$atoll" boot --engine "$engine" --kernel "$kernel" --append echo --timeout 60 >"$dir/out" 2>&1
[ "$(sed -n 2p "$dir/out")" = hello ] || { echo "FAILED: input reaches the guest"; cat "$dir/out"; failed=1; }
"$atoll" boot --engine "$engine" --kernel "$kernel" --append flood --timeout 120 2>&1 </dev/null | { sleep 1; cat; } >"$dir/out"
[ "$(wc -l <"$dir/out")" -eq 2001 ] || { echo "FAILED: a slow reader loses no output: $(wc -l <"$dir/out") lines"; failed=1; }
# The guest is off long before the last of its output is read.
"$atoll" boot --engine "$engine" --kernel "$kernel" --append flood --timeout 120 2>&1 </dev/null |
    { dd bs=1 count=65000 2>/dev/null; sleep 2; dd bs=1000 2>/dev/null; } >"$dir/out"
[ "$(wc -l <"$dir/out")" -eq 2001 ] || { echo "FAILED: a reader that is late loses no output: $(wc -l <"$dir/out") lines"; failed=1; }
"$atoll" boot --engine "$engine" --kernel "$kernel" --append flood --timeout 60 </dev/null 2>"$dir/err" | head -n 1 >"$dir/out"
[ "$(cat "$dir/out")" = "tiny: flood" ] || { echo "FAILED: a reader that leaves"; failed=1; }

"$atoll" boot --engine "$engine" --kernel "$kernel" --append off --timeout 60 </dev/null >/dev/full 2>"$dir/err"
[ $? -eq 125 ] && grep -q '^atoll: standard output: No space left on device$' "$dir/err" ||
    { echo "FAILED: output that is lost is told"; cat "$dir/err"; failed=1; }
"$atoll" boot --engine "$engine" --kernel "$kernel" --append off --timeout 60 </dev/null >&- 2>"$dir/err"
[ $? -eq 125 ] && grep -q '^atoll: standard output: Bad file descriptor$' "$dir/err" ||
    { echo "FAILED: output that is not there is told"; cat "$dir/err"; failed=1; }

# ---- guest memory, seen from another process ----
# The kernel's command line lies at 0x20000 (sysvm/layout.h); the machine after a reset has memory of its own, and the first one's is gone.
command_line() { # PID: of the one memfd that the process has
    memory=
    for fd in /proc/$1/fd/*; do
        case $(readlink "$fd") in /memfd:atoll-guest*) memory=$memory$fd ;; esac
    done
    dd if=$memory bs=1 skip=131072 count=17 2>/dev/null
}
mkfifo "$dir/keys"
: >"$dir/out"
"$atoll" boot --engine "$engine" --kernel "$kernel" --append "login-reset here" --memory 64M,shared --timeout 60 >"$dir/out" 2>&1 <"$dir/keys" &
pid=$!
exec 3>"$dir/keys"
for machine in 1 2; do
    until [ "$(grep -c 'login: ' "$dir/out")" -ge $machine ] || ! kill -0 $pid; do sleep 0.05; done
    seen=$(command_line $pid | tr '\0' .)
    [ "$seen" = "login-reset here." ] || { echo "FAILED: memory of machine $machine from outside: $seen"; failed=1; }
    printf 'one\r' >&3
done
kill $pid
exec 3>&-
wait $pid
[ $? -eq 143 ] || { echo "FAILED: a machine with shared memory ends"; cat "$dir/out"; failed=1; }

# ---- names of translated code ----
if [ "$engine" = soft ]; then
    "$atoll" boot --engine soft --kernel "$kernel" --append flood --perf --timeout 60 >"$dir/out" 2>"$dir/err" </dev/null &
    pid=$!
    wait $pid || { echo "FAILED: --perf"; cat "$dir/err"; failed=1; }
    for name in entry 'kernel:10[0-9a-f]*'; do
        grep -Eq "^[0-9a-f]+ [0-9a-f]+ guest:$name\$" "/tmp/perf-$pid.map" || { echo "FAILED: perf finds no $name"; failed=1; }
    done
    rm -f "/tmp/perf-$pid.map"
    if command -v gdb >/dev/null 2>&1; then
        gdb -nx -batch -ex "break native_gdb_forget" -ex run -ex "print 'guest:entry'" --args "$atoll" boot --engine soft \
            --kernel "$kernel" --append off --native-gdb </dev/null >"$dir/out" 2>&1
        grep -Eq '0x[0-9a-f]+ <guest:entry>' "$dir/out" || { echo "FAILED: gdb finds no names"; cat "$dir/out"; failed=1; }
    fi
fi

# ---- signals: the status says which, and nothing is left ----
# A shell's background ignores the interrupt, and atoll keeps what it inherits.
for signal in INT TERM HUP; do
    : >"$dir/out" # what the one before wrote is not waited for
    env --default-signal=INT "$atoll" boot --engine "$engine" --kernel "$kernel" --append hang --timeout 60 >"$dir/out" 2>&1 </dev/null &
    until grep -q '^tiny: hang' "$dir/out" || ! kill -0 $!; do sleep 0.05; done
    kill -s $signal $!
    wait $!
    status=$?
    case $signal in INT) want=130 ;; TERM) want=143 ;; HUP) want=129 ;; esac
    [ $status -eq $want ] || { echo "FAILED: SIG$signal: status $status, not $want"; failed=1; }
    grep -q '^tiny: hang' "$dir/out" || { echo "FAILED: SIG$signal: the guest did not run"; failed=1; }
done
exit $failed
