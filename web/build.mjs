// Builds the page: `node build.mjs` puts index.html, the scripts, the style and the icons into dist/.
// `node build.mjs --watch` builds again at every change of a script or style.
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, context } from "esbuild";
import { html as texts } from "./src/texts.js";

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, "dist");
const STATIC_FILES = ["icon.svg", "icon-192.png", "icon-512.png", "favicon.ico"];

/** @type {import("esbuild").BuildOptions} */
const options = {
  absWorkingDir: root,
  // app imports the style too, which becomes app.css; what it imports later is a file of its own.
  entryPoints: { app: "src/main.js", start: "src/start.js" },
  entryNames: "[name]",
  chunkNames: "[name]-[hash]",
  outdir: dist,
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: ["chrome123", "firefox120", "safari17.5"],
  legalComments: "none",
  logLevel: "warning",
  metafile: true,
  plugins: [{ name: "document", setup: ({ onEnd }) => onEnd(writeDocument) }],
  // The client package brings no packages of its own into this build.
  nodePaths: [join(root, "node_modules")],
  alias: { "townsquare-client": "../clients/javascript/src/index.js" },
};

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
for (const file of STATIC_FILES) copyFileSync(join(root, "src", file), join(dist, file));
writeFileSync(join(dist, "manifest.webmanifest"), JSON.stringify(createManifest()));

/** The custom elements for other people's pages, in one file. @type {import("esbuild").BuildOptions} */
const elements = {
  ...options,
  entryPoints: { "townsquare-elements": "../clients/javascript/src/elements.js" },
  splitting: false,
  plugins: [],
};

if (process.argv.includes("--watch")) {
  await (await context({ ...options, logLevel: "info" })).watch();
} else {
  await Promise.all([build(options), build(elements)]);
  await import("./reference/build.mjs");
  for (const file of readdirSync(dist).sort()) {
    const content = readFileSync(join(dist, file));
    const [size, compressed] = [content, gzipSync(content, { level: 9 })].map((bytes) =>
      (bytes.length / 1024).toFixed(1).padStart(7),
    );
    console.log(`${file.padEnd(24)} ${size} KB ${compressed} KB compressed`);
  }
}

/** index.html with its texts; what app.js imports is loaded beside it, not after it. */
function writeDocument({ metafile, errors }) {
  if (errors.length) return;
  const preloads = metafile.outputs["dist/app.js"].imports
    .filter(({ kind }) => kind === "import-statement")
    .map(({ path }) => `<link rel="modulepreload" href="/assets/${basename(path)}">`);
  const document = fillIn(readFileSync(join(root, "src/index.html"), "utf8"));
  const page = document.replace("</head>", `  ${preloads.join("")}\n  </head>`);
  writeFileSync(join(dist, "index.html"), page);
}

/** Puts the texts where the document names them: {{title}}. */
function fillIn(document) {
  return document.replace(/\{\{(\w+)\}\}/g, (_, name) => {
    if (!(name in texts)) throw new Error(`src/texts.js has no text named ${name}`);
    return texts[name].replace(/[&<>"]/g, (sign) => `&#${sign.codePointAt(0)};`);
  });
}

function createManifest() {
  const icon = (size) => ({
    src: `/assets/icon-${size}.png`,
    sizes: `${size}x${size}`,
    type: "image/png",
    purpose: "any",
  });
  return {
    name: texts.title,
    short_name: texts.title,
    description: texts.description,
    start_url: "/",
    display: "standalone",
    background_color: "#f4f0e8",
    theme_color: "#f4f0e8",
    icons: [icon(192), icon(512), { src: "/assets/icon.svg", sizes: "any", type: "image/svg+xml" }],
  };
}
