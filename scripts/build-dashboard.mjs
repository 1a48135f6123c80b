// Bundles src/dashboard/browser into one HTML text, as the source of a generated module.
import { readFile } from 'node:fs/promises';
import { build } from 'esbuild';

const FOLDER = 'src/dashboard/browser';

/** @returns {Promise<string>} a TypeScript module */
export async function makeDashboard() {
  const bundled = await build({
    entryPoints: [`${FOLDER}/main.ts`],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    legalComments: 'none',
  });
  const script = bundled.outputFiles[0].text.trim().replaceAll('</script', '<\\/script');
  const [html, style, chartStyle] = await Promise.all(
    [`${FOLDER}/index.html`, `${FOLDER}/style.css`, 'node_modules/uplot/dist/uPlot.min.css'].map((path) =>
      readFile(path, 'utf8'),
    ),
  );
  // Replaced by functions: `$&` and the like in the bundle mean nothing.
  const page = html
    .replace('/*STYLE*/', () => `${chartStyle.trim()}\n${style.trim()}`)
    .replace('/*SCRIPT*/', () => script);
  return `// Bundled from src/dashboard/browser by scripts/build-dashboard.mjs: npm run generate.\nexport const DASHBOARD_PAGE: string = ${JSON.stringify(page)};\n`;
}
