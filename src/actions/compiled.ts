// Helper processes and worker threads run without a type-stripping loader, so they always start from the built files.

/** The built twin of a module: `src/actions/x.ts` is `dist/actions/x.js`; a module that is built already is its own. */
export const compiled = (module: string, base: string): URL => {
  const url = new URL(module, base).href;
  if (!url.endsWith('.ts')) return new URL(url);
  const root = url.lastIndexOf('/src/');
  return new URL(`${url.slice(0, root)}/dist/${url.slice(root + 5, -3)}.js`);
};
