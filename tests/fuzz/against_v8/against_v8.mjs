// against_v8.mjs: generates modules, runs them under Atoll and under this node's V8, and compares.
// usage  node against_v8.mjs RUN_MODULES WASM_OPT FOLDER FIRST COUNT       (against_v8.sh starts it)
//
// Modules FIRST .. FIRST + COUNT - 1; the number is the seed, so that a disagreement can be had again. Disagreeing
// modules stay in FOLDER, with both transcripts. The last line counts; the status is 1 when there was a disagreement.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { Generator } from "./generate.mjs";
import { Oracle } from "./oracle.mjs";

const BATCH = 100;
const [runModules, tool, folder, firstText, countText] = process.argv.slice(2);
const counts = { generated: 0, compared: 0, "host's limits": 0, "not for V8": 0, disagree: 0 };
const fileOf = (n) => path.join(folder, n + ".wasm");

/** What run_modules writes, by module. */
function transcripts(text) {
    const all = new Map();
    for (const part of text.split(/^module /m).slice(1)) {
        const lines = part.split("\n");
        const of = (key) => lines.find((l) => l.startsWith(key + " "))?.slice(key.length + 1) ?? "";
        const last = lines.at(-2);
        all.set(lines[0], {
            plan: { sigs: of("sigs").split(" "), imported: of("imported"), globals: of("globals") },
            invalid: lines[1]?.startsWith("invalid ") ? lines[1] : null,
            end: last === "end" || last === "limit" ? last : null,
            lines: lines.slice(4, -2),
        });
    }
    return all;
}

function disagree(n, mine, theirs) {
    counts.disagree++;
    fs.writeFileSync(path.join(folder, n + ".atoll"), mine.join("\n") + "\n");
    fs.writeFileSync(path.join(folder, n + ".v8"), theirs.join("\n") + "\n");
    const at = mine.findIndex((l, i) => l !== theirs[i]);
    const i = at < 0 ? mine.length : at;
    console.log(`module ${n}: line ${i + 1}: atoll "${mine[i] ?? "(no more)"}", V8 "${theirs[i] ?? "(no more)"}"; kept as ${fileOf(n)}`);
}

/** Compares module n; true when the two agree or cannot be compared. */
function compare(n, mine) {
    if (!mine?.end) return disagree(n, ["(it crashed)"], []), false;
    let module, theirs;
    try {
        module = new WebAssembly.Module(fs.readFileSync(fileOf(n)));
    } catch (e) {
        // V8 allows old and new exceptions not in one module
        if (/mix of legacy and new/.test(e.message)) return counts["not for V8"]++, true;
        theirs = ["invalid " + e.message];
        return disagree(n, mine.invalid ? [mine.invalid] : mine.lines, theirs), false;
    }
    if (mine.invalid) return disagree(n, [mine.invalid], ["valid"]), false;
    if (mine.end === "limit") return counts["host's limits"]++, true;
    theirs = new Oracle(mine.plan).run(module);
    if (!theirs) return counts["host's limits"]++, true;
    if (theirs.join("\n") !== mine.lines.join("\n")) return disagree(n, mine.lines, theirs), false;
    counts.compared++;
    return true;
}

/** Runs modules under Atoll: what it wrote, by module. One that crashes ends the process; those behind it get another. */
function runAll(names) {
    const all = new Map();
    for (let at = 0; at < names.length;) {
        const input = names.slice(at).join("\n") + "\n";
        const done = spawnSync(runModules, [folder], { input, encoding: "utf8", maxBuffer: 1 << 30, timeout: 600000 });
        const some = transcripts(done.stdout ?? "");
        for (const [name, transcript] of some) all.set(name, transcript);
        if (done.status === 0) break;
        console.log(`run_modules ended with ${done.signal ?? done.error ?? done.status}: ${(done.stderr ?? "").slice(0, 3000)}`);
        at += Math.max(some.size, 1);
    }
    return all;
}

async function batch(generator, first, n) {
    const numbers = [];
    for (let i = first; i < first + n; i++) if (await generator.write(i, fileOf(i))) numbers.push(i);
    counts.generated += numbers.length;
    const all = runAll(numbers.map((i) => i + ".wasm"));
    for (const i of numbers) if (compare(i, all.get(i + ".wasm"))) fs.rmSync(fileOf(i));
}

const generator = new Generator(tool);
const first = Number(firstText), end = first + Number(countText);
for (let at = first; at < end; at += BATCH) await batch(generator, at, Math.min(BATCH, end - at));
console.log(Object.entries(counts).map(([what, n]) => `${what} ${n}`).join(", "));
process.exit(counts.disagree || !counts.compared ? 1 : 0);
