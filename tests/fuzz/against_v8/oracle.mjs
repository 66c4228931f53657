// oracle.mjs: runs a module under V8 and writes down what run_modules.c writes down of it under Atoll.

const MAX_HOST_CALLS = 2000;
const N_KEPT = 8;
const INTS = [0, 1, -1, 2147483647, -2147483648, 3, 65536, 100];
const FLOATS = [0, 1.5, -1, 1e300, -0.0, 1e-300, 4294967296.0, 77];

class Host {
    constructor(n) {
        this.n = n;
    }
}
const HOSTS = INTS.map((_, n) => new Host(n));

/** Engines differ where their own limits decide; such a run is not compared. */
class Limit extends Error {}

// a trap that programs cannot catch: (module (func (export "f") (unreachable)))
const trapper = new WebAssembly.Instance(new WebAssembly.Module(
    new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3, 0, 0, 11]))).exports.f;

const TRAPS = [
    [/^unreachable/, "unreachable"],
    [/too large|memory allocation|Out of memory/i, "limit"],
    [/out of bounds/, "bounds"],
    [/divide by zero|remainder by zero/, "zero"],
    [/unrepresentable/, "overflow"],
    [/null|signature mismatch/, "null"],
    [/illegal cast/, "cast"],
];

const floatBits = (x) => {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, x);
    return Number.isNaN(x) ? "nan" : view.getBigUint64(0).toString(16).padStart(16, "0");
};

function refText(x) {
    if (x === null) return "null";
    if (typeof x === "number") return "i31 " + x;
    if (typeof x === "function") return "function";
    return x instanceof Host ? "host " + x.n : "object";
}

const valueText = (kind, x) => ("il".includes(kind) ? String(x) : "fd".includes(kind) ? floatBits(x) : refText(x));

function parameters(sig, call) {
    return [...sig].map((kind, i) => {
        const k = (call * 5 + i * 3) % 8;
        switch (kind) {
            case "i": return INTS[k];
            case "l": return BigInt(INTS[k]);
            case "f":
            case "d": return FLOATS[k];
            case "a": return k;
            case "e": return HOSTS[k];
            default: return null;
        }
    });
}

export class Oracle {
    /** `plan` = {sigs, imported, globals}, as run_modules wrote them. */
    constructor(plan) {
        this.plan = plan;
        this.lines = [];
        this.calls = this.hostCalls = this.depth = 0;
        this.limit = this.tooMany = false;
        this.kept = new Array(N_KEPT).fill(null);
        this.wasmTag = new WebAssembly.Tag({ parameters: ["i32"] });
        this.jsTag = new WebAssembly.Tag({ parameters: ["externref"] });
    }

    /** The line for what ended a call. */
    endText(e) {
        if (e instanceof WebAssembly.Exception) {
            if (e.is(this.wasmTag)) return "exception " + e.getArg(this.wasmTag, 0);
            if (e.is(this.jsTag)) return "exception " + refText(e.getArg(this.jsTag, 0));
            return "trap exception";
        }
        if (e instanceof TypeError) return "trap exception";
        if (!(e instanceof WebAssembly.RuntimeError)) return "trap limit";
        if (this.tooMany) return "trap host";
        for (const [pattern, kind] of TRAPS) if (pattern.test(e.message)) return "trap " + kind;
        return "trap ?" + e.message;
    }

    put(line) {
        this.lines.push(line);
    }

    putEnd(e) {
        const text = this.endText(e);
        if (text === "trap limit") this.limit = true;
        this.put(text);
    }

    /** Calls with made-up parameters and writes down the results. */
    call(f, sig) {
        const [params, results] = sig.split(">");
        try {
            const got = f(...parameters(params, this.calls++));
            const values = results.length === 1 ? [got] : results.length ? [...got] : [];
            this.put(values.length ? "result " + values.map((x, i) => valueText(results[i], x)).join(", ") : "done");
        } catch (e) {
            this.putEnd(e);
            throw e;
        }
    }

    nested(f, index, caught) {
        const sig = this.plan.sigs[index];
        if (sig === undefined || sig === "-") return 0;
        this.put("nested " + index);
        this.depth++;
        try {
            this.call(f, sig);
        } catch (e) {
            if (!caught || this.limit || this.tooMany) throw e;
            return 1;
        } finally {
            this.depth--;
        }
        return 0;
    }

    /** What a program imports, by name. `index` of a function is its name: so says the JavaScript interface. */
    functions() {
        const log = (kind) => (x) => this.put("log " + valueText(kind, x));
        const ready = () => this.exports && this.depth <= 20;
        const callExport = (caught) => (n) => {
            if (!ready()) return 0;
            const funcs = Object.values(this.exports).filter((x) => typeof x === "function");
            if (!funcs.length) return 0;
            const f = funcs[(n >>> 0) % funcs.length];
            return this.nested(f, Number(f.name), caught);
        };
        const callRef = (caught) => (first, second) => {
            const f = [first, second].find((x) => typeof x === "function");
            return f && ready() ? this.nested(f, Number(f.name), caught) : 0;
        };
        const at = (i) => Number(BigInt.asUintN(32, BigInt(i)) % BigInt(N_KEPT));
        const all = {
            "log-i32": log("i"), "log-i64": log("l"), "log-f32": log("f"), "log-f64": log("d"),
            "log-anyref": log("a"), "log-funcref": log("c"), "log-externref": log("e"), "log-v128": () => {},
            "throw": (x) => {
                throw x ? new WebAssembly.Exception(this.wasmTag, [x]) : new WebAssembly.Exception(this.jsTag, [HOSTS[7]]);
            },
            "table-get": (i) => this.kept[at(i)],
            "table-set": (i, x) => void (this.kept[at(i)] = x),
            "call-export": callExport(false), "call-export-catch": callExport(true),
            "call-ref": callRef(false), "call-ref-catch": callRef(true),
            "sleep": (_, x) => x,
        };
        return all;
    }

    counted(f) {
        return (...args) => {
            if (this.hostCalls++ >= MAX_HOST_CALLS) {
                this.tooMany = true;
                trapper();
            }
            return f(...args);
        };
    }

    /** An import that has no meaning here, of a pass that instruments: gives zero, null. */
    other(sig) {
        const results = [...sig.split(">")[1]].map((kind) => ("ifd".includes(kind) ? 0 : kind === "l" ? 0n : null));
        return () => (results.length > 1 ? results : results[0]);
    }

    imports(module) {
        const functions = this.functions(), tags = { wasmtag: this.wasmTag, jstag: this.jsTag };
        const found = {};
        let global = 0, index = 0;
        for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
            found[from] ??= {};
            if (kind === "global") found[from][name] = this.globalValue(global++);
            else if (kind === "tag") found[from][name] = tags[name];
            else found[from][name] = this.counted(functions[name] ?? this.other(this.plan.sigs[index]));
            if (kind === "function") index++;
        }
        return found;
    }

    globalValue(i) {
        return parameters(this.plan.imported[i], i)[0];
    }

    callExports() {
        for (let round = 0; round < 2; round++)
            for (const [name, f] of Object.entries(this.exports)) {
                if (typeof f !== "function" || this.limit || this.plan.sigs[Number(f.name)] === "-") continue;
                this.put("call " + name);
                this.tooMany = false;
                try {
                    this.call(f, this.plan.sigs[Number(f.name)]);
                } catch {
                    // written down
                }
            }
    }

    putState() {
        let global = 0;
        for (const x of Object.values(this.exports)) {
            if (x instanceof WebAssembly.Table) this.put("table " + x.length);
            if (!(x instanceof WebAssembly.Global)) continue;
            const kind = this.plan.globals[global++];
            if (kind !== "-") this.put("global " + valueText(kind, x.value));
        }
    }

    /** The transcript's lines, or null where the host's limits decided something. */
    run(module) {
        try {
            this.exports = new WebAssembly.Instance(module, this.imports(module)).exports;
        } catch (e) {
            if (e instanceof WebAssembly.LinkError) throw e;
            this.put("start " + (this.putEnd(e), this.lines.pop()));
            return this.limit ? null : this.lines;
        }
        this.callExports();
        if (!this.limit) this.putState();
        return this.limit ? null : this.lines;
    }
}
