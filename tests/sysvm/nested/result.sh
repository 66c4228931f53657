#!/bin/sh
# What came of a check in the last outer boot. usage: result.sh RESULTS NAME
[ -e "$1/console" ] || { echo "skipped: there was no outer boot"; exit 77; }
for end in ok failed running; do
    [ -e "$1/$2.$end" ] && cat "$1/$2.$end"
done
[ -e "$1/$2.skipped" ] && { cat "$1/$2.skipped"; exit 77; }
[ -e "$1/$2.ok" ] || { echo "$2 did not end well"; exit 1; }
