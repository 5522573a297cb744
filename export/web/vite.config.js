import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const HERE = dirname(fileURLToPath(import.meta.url));

/** LiteRT.js fetches its WebAssembly at run time, so that the bundler cannot see it. */
function wasmBesideThePage() {
  const folder = resolve(dirname(fileURLToPath(import.meta.resolve("@litertjs/core"))), "../wasm");
  return {
    name: "wasm-beside-the-page",
    generateBundle() {
      for (const name of ["litert_wasm_compat_internal.js", "litert_wasm_compat_internal.wasm"]) {
        this.emitFile({ type: "asset", fileName: `wasm/${name}`, source: readFileSync(resolve(folder, name)) });
      }
    },
  };
}

/** What the page was built from, as `sha256sum` writes it; with the line endings of Unix, wherever it is built. */
function sourcesBesideThePage() {
  const isSource = (name) => !name.startsWith(".") && name !== "README.md";
  const files = [
    ...readdirSync(HERE, { withFileTypes: true }).filter((entry) => entry.isFile() && isSource(entry.name)),
    ...["public", "src"].flatMap((folder) => readdirSync(join(HERE, folder), { withFileTypes: true, recursive: true })),
  ]
    .filter((entry) => entry.isFile())
    .map((entry) => relative(HERE, join(entry.parentPath, entry.name)).replaceAll("\\", "/"));
  const line = (file) => {
    const content = readFileSync(join(HERE, file), "latin1").replaceAll("\r\n", "\n");
    return `${createHash("sha256").update(content, "latin1").digest("hex")}  ${file}\n`;
  };
  return {
    name: "sources-beside-the-page",
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "SOURCES.sha256", source: files.sort().map(line).join("") });
    },
  };
}

export default defineConfig({
  base: "./", // so that the page works in any folder of a host
  build: {
    target: "es2022",
    modulePreload: false,
    outDir: "../../keras_t2i/serve/page", // it travels in the Python package
    emptyOutDir: true,
  },
  plugins: [wasmBesideThePage(), sourcesBesideThePage()],
});
