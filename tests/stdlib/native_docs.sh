#!/bin/sh
# native_docs.sh ATOLL DOCS: the prototypes shown in docs/native.md are read by the command that they are for.
atoll=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# An indented block that begins with `library` is a file; it ends at the next empty line.
awk -v dir="$dir" '/^    library/ { n++ } /^$/ { open = 0 } /^    library/ { open = 1 } open { print > (dir "/" n ".ffi") }' "$2"
echo '(module (func (export "f")))' >"$dir/m.wat"
failed=0
for file in "$dir"/*.ffi; do
    [ -f "$file" ] || { echo "no example was found"; exit 1; }
    got=$("$atoll" run --native "$file" --invoke f "$dir/m.wat" 2>&1) && continue
    case $got in
    *"cannot open shared object file"*) echo "skipped: $got" ;;
    *) cat "$file"; echo "$got"; failed=1 ;;
    esac
done
exit $failed
