#!/bin/sh
# Installs into an empty folder, then builds and runs an example as a user would, with pkg-config and with CMake; and
# looks at what the shared library exports. usage: install_test.sh BUILD_FOLDER SOURCE_FOLDER
build=$1
source=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() {
    echo "failed: $*"
    exit 1
}
cmake --install "$build" --prefix "$dir/usr" >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
lib=$(dirname "$(find "$dir/usr" -name 'libatoll.so')")
foreign=$(nm -D --defined-only "$lib/libatoll.so" | awk '{ print $3 }' | grep -v -e '^wasm_' -e '^atoll_')
[ -z "$foreign" ] || fail "the library exports $foreign"
declared=$(cat "$dir"/usr/include/wasm.h "$dir"/usr/include/atoll/*.h)
for name in $(nm -D --defined-only "$lib/libatoll.so" | awk '$3 ~ /^atoll_/ { print $3 }'); do
    echo "$declared" | grep -q "\<$name\>" || fail "$name is exported, but no header declares it"
done
[ -f "$lib/libatoll.a" ] && [ -x "$dir/usr/bin/atoll" ] || fail "archive or command is missing"
sed -i "s|^prefix=.*|prefix=$dir/usr|" "$lib/pkgconfig/atoll.pc"
PKG_CONFIG_PATH=$lib/pkgconfig
export PKG_CONFIG_PATH
# shellcheck disable=SC2046
cc "$source/samples/embed/hello.c" $(pkg-config --cflags --libs atoll) -o "$dir/hello" || fail "pkg-config"
LD_LIBRARY_PATH=$lib "$dir/hello" | grep -q "and answers 42" || fail "the example with pkg-config"
# shellcheck disable=SC2046
cc "$source/samples/embed/hello.c" $(pkg-config --static --cflags --libs atoll | sed 's/-latoll/-l:libatoll.a/') \
    -o "$dir/static" || fail "pkg-config --static"
"$dir/static" | grep -q "and answers 42" || fail "the example with the archive"
ldd "$dir/static" | grep libatoll && fail "the archive was not linked"
mkdir "$dir/project"
cat >"$dir/project/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(atoll REQUIRED)
find_package(Threads REQUIRED)
foreach(name hello limits)
    add_executable(\${name} $source/samples/embed/\${name}.c)
    target_link_libraries(\${name} atoll::atoll Threads::Threads)
endforeach()
add_executable(static $source/samples/embed/hello.c)
target_link_libraries(static atoll::static)
END
cmake -S "$dir/project" -B "$dir/project/build" -DCMAKE_PREFIX_PATH="$dir/usr" >"$dir/log" 2>&1 &&
    cmake --build "$dir/project/build" >>"$dir/log" 2>&1 || { cat "$dir/log"; fail "find_package"; }
"$dir/project/build/limits" | grep -q "all fuel consumed (fuel)" || fail "the example with find_package"
"$dir/project/build/static" | grep -q "and answers 42" || fail "the archive with find_package"
