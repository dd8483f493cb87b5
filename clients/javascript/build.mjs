// Bundles the package for pages without a build of their own: `node build.mjs [folder]` writes
// townsquare-client.js and, where it exists, townsquare-elements.js into the folder (default: dist).
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const folder = resolve(process.argv[2] ?? join(root, "dist"));
const bundles = { "townsquare-client": "src/index.js", "townsquare-elements": "src/elements.js" };

for (const [name, entry] of Object.entries(bundles)) {
  if (!existsSync(join(root, entry))) continue;
  const outfile = join(folder, `${name}.js`);
  await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    minify: true,
    alias: { "@azure/logger": "./src/no-logger.js" },
    format: "esm",
    target: ["chrome123", "firefox120", "safari17.5"],
    legalComments: "none",
    logLevel: "warning",
  });
  const size = gzipSync(readFileSync(outfile), { level: 9 }).length / 1024;
  console.log(`${basename(outfile)} ${size.toFixed(1)} KB compressed`);
}
