// generate.mjs: modules from binaryen's fuzzer (npm's "binaryen", `wasm-opt -ttf`), many a process.
//
// The tool is a program that reads its arguments and ends; here its text is run as a function, and its main called
// again and again, which takes a fortieth of the time that a process a module takes.
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";
import { createHash } from "node:crypto";

const FEATURES = ["sign-ext", "mutable-globals", "nontrapping-float-to-int", "simd", "bulk-memory", "bulk-memory-opt",
    "exception-handling", "tail-call", "reference-types", "multivalue", "gc", "memory64", "extended-const", "multimemory"];
const MODULES_A_TOOL = 200; // it keeps every type it has seen

/** `size` bytes that depend on `seed` alone. */
function randomBytes(seed, size) {
    const bytes = Buffer.alloc(size + 64);
    let block = createHash("sha512").update(String(seed)).digest();
    for (let at = 0; at < size; at += 64) {
        block = createHash("sha512").update(block).digest();
        block.copy(bytes, at);
    }
    return bytes.subarray(0, size);
}

/** How the tool shapes module n: most as generated, some optimized, some with exceptions as they were before exnref. */
function shape(n) {
    return ["--denan", ...(n % 4 === 1 ? ["-O2"] : n % 4 === 2 ? ["--fuzz-passes"] : []), ...(n % 16 === 15 ? [] : ["--emit-exnref"])];
}

export class Generator {
    /** `tool` is the path of binaryen's wasm-opt. */
    constructor(tool) {
        const source = fs.readFileSync(tool, "utf8").replace(/^#!.*\n/, "") + "\n;Module.callMain = callMain;";
        this.start = new Function("Module", "require", "process", "__dirname", "__filename", "module", source);
        this.tool = tool;
        this.used = 0;
        const require = createRequire(tool);
        // the tool writes its warnings to descriptor 2 itself
        const quiet = { ...fs, writeSync: (fd, data, at, size, ...rest) => (fd === 2 ? size : fs.writeSync(fd, data, at, size, ...rest)) };
        this.require = (name) => (name === "node:fs" || name === "fs" ? quiet : require(name));
    }

    /** An instance of the tool: a function that takes its arguments. */
    open() {
        return new Promise((resolve, reject) => {
            const process_ = Object.create(process, { argv: { value: ["node", "wasm-opt"] }, exitCode: { value: 0, writable: true } });
            const Module = { noInitialRun: true, print() {}, printErr() {}, onAbort: reject, onRuntimeInitialized: () => resolve(Module.callMain) };
            if (this.compiled) Module.instantiateWasm = (info, done) => void WebAssembly.instantiate(this.compiled, info).then(done);
            const instantiate = WebAssembly.instantiate;
            WebAssembly.instantiate = async (binary, imports) => {
                WebAssembly.instantiate = instantiate;
                if (binary instanceof WebAssembly.Module) return instantiate(binary, imports);
                this.compiled = await WebAssembly.compile(binary);
                return { module: this.compiled, instance: await instantiate(this.compiled, imports) };
            };
            this.start(Module, this.require, process_, path.dirname(this.tool), this.tool, undefined);
        });
    }

    /** Writes module n to `file`; false when the tool could not make one. */
    async write(n, file) {
        if (this.used++ % MODULES_A_TOOL === 0) this.main = await this.open();
        const seed = file + ".seed";
        fs.writeFileSync(seed, randomBytes(n, 200 + ((n * 7919) % 4000)));
        try {
            this.main(["-ttf", seed, "-o", file, ...shape(n), "--mvp-features", ...FEATURES.map((f) => "--enable-" + f)]);
        } catch {
            this.used = 0;
        }
        fs.rmSync(seed, { force: true });
        return fs.existsSync(file);
    }
}
