// bench/export.mjs: calls an export of a program that imports nothing: node export.mjs FILE NAME [NUMBERS...]
import { readFile } from "node:fs/promises";
const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]), {});
console.log(String(instance.exports[process.argv[3]](...process.argv.slice(4).map(Number))));
