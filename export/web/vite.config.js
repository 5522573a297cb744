import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

// LiteRT.js fetches its WebAssembly at run time, so that the bundler cannot see it: with relaxed SIMD, or without.
const VARIANTS = ["litert_wasm_internal", "litert_wasm_compat_internal"];

function wasmBesideThePage() {
  const folder = resolve(dirname(fileURLToPath(import.meta.resolve("@litertjs/core"))), "../wasm");
  return {
    name: "wasm-beside-the-page",
    generateBundle() {
      for (const name of VARIANTS.flatMap((variant) => [`${variant}.js`, `${variant}.wasm`])) {
        this.emitFile({ type: "asset", fileName: `wasm/${name}`, source: readFileSync(resolve(folder, name)) });
      }
    },
  };
}

export default defineConfig({
  base: "./", // so that the page works in any folder of a host
  build: { target: "es2022", modulePreload: false },
  plugins: [wasmBesideThePage()],
});
