// Builds the API reference: Swagger UI as api-docs.html, api-docs.js and api-docs.css in web/dist/.
import { copyFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, "../dist");

await build({
  absWorkingDir: root,
  entryPoints: ["api-docs.js"], // imports the style too, which becomes api-docs.css
  outdir: dist,
  bundle: true,
  minify: true,
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
});
copyFileSync(join(root, "api-docs.html"), join(dist, "api-docs.html"));
