// Unpacks the browser, its libraries and its fonts from node_modules: node unpack.mjs FOLDER
import { createReadStream, createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { createBrotliDecompress } from "node:zlib";
import { extract } from "tar-fs";

const packed = fileURLToPath(new URL("node_modules/@sparticuz/chromium/bin/", import.meta.url));
const folder = process.argv[2];

async function unpack(name, target) {
  await pipeline(createReadStream(join(packed, name)), createBrotliDecompress(), target);
}

await unpack("al2023.tar.br", extract(folder)); // lib/: what Chromium needs beside the C library
await unpack("fonts.tar.br", extract(folder)); // fonts/: without any font Chromium lays out no text
await unpack("chromium.br", createWriteStream(join(folder, "chromium"), { mode: 0o755 }));
