#!/usr/bin/env python3
"""Runs kvm-unit-tests, fetched and built by hand (./configure && make), on the software CPU, and on QEMU's.

usage: unit_tests.py FOLDER [ATOLL] [--qemu] [--only NAMES] [--limit SECONDS] [-v]

FOLDER is the built tree: x86/unittests.cfg lists the cases, x86/*.flat are multiboot kernels. Atoll boots ELF
files with a PVH entry, so each is put into one here, beside a few instructions that hand over what a multiboot
loader would: command line, memory size, and as its first module the settings that these tests take where their
test device is missing. They print how they ended then. A case passes where it ends with 0; with 38 (77 to a
shell, as QEMU ends) it skipped itself.
"""
import argparse
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile

SPARE = 0x1000000  # from here on lies what belongs into the first megabyte, which atoll keeps kernels out of
DATA = 0x100000  # where the wrapper's own bytes go, below the tests' 4 MiB
PAGE = 4096
ENV, COMMAND_LINE, MAP, MODULE, CODE = 0x100, 0x400, 0x800, 0x900, 0xA00


def cases(folder):
    """The sections of unittests.cfg: {name: {key: value}}."""
    found, section = {}, None
    with open(os.path.join(folder, "x86", "unittests.cfg"), encoding="utf-8") as f:
        text = f.read()
    for line in re.sub(r"\\\n", "", text).splitlines():
        line = line.split("#")[0].strip() if line.lstrip().startswith("#") else line.strip()
        head = re.fullmatch(r"\[(.*)\]", line)
        if head:
            section = found.setdefault(head[1], {})
        elif "=" in line and section is not None:
            key, value = (part.strip() for part in line.split("=", 1))
            section[key] = value
    return found


def segments(flat):
    """(entry, [(address, bytes, size in memory)]) of a 32-bit ELF file."""
    entry, phoff = struct.unpack_from("<II", flat, 24)
    phentsize, phnum = struct.unpack_from("<HH", flat, 42)
    loads = []
    for i in range(phnum):
        kind, offset, _, address, n_file, n_memory = struct.unpack_from("<IIIIII", flat, phoff + i * phentsize)
        if kind == 1 and n_memory:
            loads.append((address, flat[offset : offset + n_file], n_memory))
    return entry, loads


def own_bytes(entry, command_line, megabytes, n_cpus, low):
    """The wrapper's page: multiboot's information first, the settings, and code that goes to the kernel with its
    address, behind a copy of what lies in the first megabyte: (address, bytes)."""
    page = bytearray(PAGE)

    def put(at, *words):
        struct.pack_into("<" + "I" * len(words), page, at, *words)

    settings = f"NR_CPUS={n_cpus}\nMEMSIZE={megabytes}\nTEST_DEVICE=0\nMEMLIMIT=0\n".encode()
    flags = 1 | 1 << 2 | 1 << 3 | 1 << 6
    put(0, flags, 639, (megabytes - 1) * 1024, 0, DATA + COMMAND_LINE, 1, DATA + MODULE)
    put(44, 24, DATA + MAP)
    page[ENV : ENV + len(settings)] = settings
    page[COMMAND_LINE : COMMAND_LINE + len(command_line)] = command_line
    put(MAP, 20, 0x100000, 0, (megabytes - 1) << 20, 0, 1)
    put(MODULE, DATA + ENV, DATA + ENV + len(settings), DATA + ENV + len(settings), 0)
    code = b""
    for to, n in low:  # mov $SPARE + to, %esi; mov $to, %edi; mov $n, %ecx; rep movsb
        code += struct.pack("<BIBIBI", 0xBE, SPARE + to, 0xBF, to, 0xB9, n) + b"\xf3\xa4"
    # mov $DATA, %ebx; mov $0x2BADB002, %eax; mov $entry, %ecx; jmp *%ecx
    code += struct.pack("<BIBIBI", 0xBB, DATA, 0xB8, 0x2BADB002, 0xB9, entry) + b"\xff\xe1"
    page[CODE : CODE + len(code)] = code
    return bytes(page)


def wrap(flat, command_line, megabytes, n_cpus):
    """A 64-bit ELF file with a PVH entry that starts a multiboot kernel."""
    entry, loads = segments(flat)
    low = [(address, len(data)) for address, data, _ in loads if address < DATA]
    loads = [(address + SPARE if address < DATA else address, data, n) for address, data, n in loads]
    loads = [(DATA, own_bytes(entry, command_line.encode() + b"\0", megabytes, n_cpus, low), PAGE), *loads]
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", DATA + CODE)
    n_headers = len(loads) + 1
    offset = 64 + 56 * n_headers
    headers = [struct.pack("<IIQQQQQQ", 4, 4, offset, 0, 0, len(note), len(note), 4)]
    body = note
    for address, data, n_memory in loads:
        headers.append(struct.pack("<IIQQQQQQ", 1, 7, offset + len(body), address, address, len(data), n_memory, 1))
        body += data
    ident = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    head = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, DATA + CODE, 64, 0, 0, 64, 56, n_headers, 0, 0, 0)
    return head + b"".join(headers) + body


def run(argv, limit):
    """Its output and exit status, None at the limit. A guest that waits for ever behind its last words is ended."""
    child = subprocess.Popen(["timeout", "-k", "1", str(limit), *argv], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = b""
    while chunk := os.read(child.stdout.fileno(), 65536):
        output += chunk
        if re.search(rb"--- DONE: -?\d+ ---", output):
            child.terminate()
            break
    status = child.wait()
    return output.decode(errors="replace"), None if status in (124, 137) else status


def on_atoll(atoll, folder, case, limit, work):
    words = shlex.split(case.get("qemu_params", ""))
    memory = words[words.index("-m") + 1] if "-m" in words else "128"
    megabytes = int(memory[:-1]) * 1024 if memory[-1] in "gG" else int(memory)
    n_cpus = case["cpus"]
    name = case["file"].removesuffix(".flat")
    with open(os.path.join(folder, "x86", case["file"]), "rb") as f:
        flat = f.read()
    kernel = os.path.join(work, name + ".elf")
    with open(kernel, "wb") as f:
        f.write(wrap(flat, f"x86/{case['file']} {case['arguments']}".strip(), megabytes, n_cpus))
    output, status = run([atoll, "boot", "--engine=soft", "--kernel", kernel, "--memory", f"{megabytes}M", "--cpus",
                          str(n_cpus), "--timeout", f"{limit}s"], limit + 10)
    done = re.search(r"--- DONE: (-?\d+) ---", output)
    return output, int(done[1]) if done else None if status is None else f"ended, {status}"


def on_qemu(folder, case, limit):
    output, status = run(["qemu-system-x86_64", "--no-reboot", "-nodefaults", "-device", "pc-testdev", "-device",
                          "isa-debug-exit,iobase=0xf4,iosize=0x4", "-display", "none", "-serial", "stdio", "-device",
                          "pci-testdev", "-machine", "accel=tcg", "-kernel", os.path.join(folder, "x86", case["file"]),
                          "-smp", str(case["cpus"]), "-append", case["arguments"],
                          *shlex.split(case.get("qemu_params", ""))], limit)
    if status is None:
        return output, None
    # the device ends QEMU with 2 * status + 1; QEMU's own complaints are 1, too
    own = status == 1 and re.search(r"^(qemu-system|Could not access KVM)", output, re.M)
    return output, status >> 1 if status & 1 and not own else f"ended, {status}"


def arguments(case):
    """The first word of test_args, with what stands in backquotes (the time) run by a shell."""
    text = re.sub(r"`([^`]*)`", lambda m: subprocess.run(m[1], shell=True, capture_output=True, text=True).stdout.strip(),
                  case.get("test_args", ""))
    return (shlex.split(text) or [""])[0]


def verdict(status):
    return {0: "pass", 38: "skip", None: "limit"}.get(status, "fail")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("atoll", nargs="?")
    parser.add_argument("--qemu", action="store_true", help="QEMU's software CPU, too")
    parser.add_argument("--only", help="cases, separated by commas")
    parser.add_argument("--limit", type=int, default=90, help="seconds for a case that names no others")
    parser.add_argument("-v", action="store_true", help="the output of what does not pass")
    args = parser.parse_args()
    ways = ["atoll"] * bool(args.atoll) + ["qemu"] * args.qemu
    passed = dict.fromkeys(ways, 0)
    listed = cases(args.folder)
    names = args.only.split(",") if args.only else list(listed)
    with tempfile.TemporaryDirectory() as work:
        for name in names:
            case = listed[name]
            smp = case.get("smp", "1")
            case["cpus"] = int(smp) if smp.isdigit() else 2
            case["arguments"] = arguments(case)
            row = []
            for way in ways:
                if not os.path.exists(os.path.join(args.folder, "x86", case["file"])):
                    row.append("not built")
                    continue
                limit = max(args.limit, int(case.get("timeout", 0)))
                if way == "atoll":
                    output, status = on_atoll(os.path.abspath(args.atoll), args.folder, case, limit, work)
                else:
                    output, status = on_qemu(args.folder, case, limit)
                row.append(f"{verdict(status)}" + (f" ({status})" if verdict(status) == "fail" else ""))
                passed[way] += verdict(status) == "pass"
                if args.v and verdict(status) != "pass":
                    print(output)
            print(f"{name:<44}" + "".join(f"{cell:<20}" for cell in row), flush=True)
    print(f"{'passed of ' + str(len(names)):<44}" + "".join(f"{passed[w]:<20}" for w in ways))


if __name__ == "__main__":
    sys.exit(main())
