// Builds the page: `node build.mjs` puts index.html, app.js, app.css and mark.svg into dist/.
// `node build.mjs --watch` builds again at every change.
import { copyFileSync, mkdirSync, rmSync, statSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, context } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");

/** @type {import("esbuild").BuildOptions} */
const options = {
  absWorkingDir: here,
  entryPoints: { app: "src/main.js" }, // imports the style too, which becomes app.css
  entryNames: "[name]",
  outdir: dist,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome123", "firefox120", "safari17.5"],
  legalComments: "none",
  logLevel: "warning",
  // Every `WebSocket` in the bundle becomes ours: see socket.js for why.
  inject: ["src/socket.js"],
};

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
for (const file of ["index.html", "mark.svg"]) {
  copyFileSync(join(here, "src", file), join(dist, file));
}

if (process.argv.includes("--watch")) {
  await (await context({ ...options, logLevel: "info" })).watch();
} else {
  await build(options);
  await import("./reference/build.mjs");
  for (const file of readdirSync(dist).sort()) {
    const packed = gzipSync(readFileSync(join(dist, file)), { level: 9 }).length;
    const [size, small] = [statSync(join(dist, file)).size, packed].map((n) =>
      (n / 1024).toFixed(1),
    );
    console.log(`${file.padEnd(16)} ${size.padStart(7)} KB  ${small.padStart(6)} KB compressed`);
  }
}
