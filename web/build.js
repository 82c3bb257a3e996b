// build.js OUT: bundles the page, and packs each of its files as the binary has it.
import { build } from 'esbuild';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, '../build/web');

async function bundle(entry, name) {
  const result = await build({
    entryPoints: [join(here, entry)],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    legalComments: 'none',
    logLevel: 'warning',
  });
  return [name, result.outputFiles[0].contents];
}

const plain = (name) => [name, readFileSync(join(here, name))];
const files = [
  await bundle('src/main.js', 'app.js'),
  await bundle('style.css', 'style.css'),
  plain('icon.svg'),
  plain('index.html'),
];
mkdirSync(out, { recursive: true });
let total = 0;
for (const [name, bytes] of files) {
  // Without a name or time in it: the same page is the same bytes.
  const packed = gzipSync(bytes, { level: 9 });
  total += packed.length;
  writeFileSync(join(out, `${name}.gz`), packed);
}
if (process.env.SIZES) console.log(`${total} bytes`);
