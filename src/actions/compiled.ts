// Helper processes and worker threads run without a type-stripping loader, so they always start from the built files.

/** `module` as in an import, seen from the file `base`: `src/actions/x.ts` is `dist/actions/x.js`, seen from `dist` too. */
export const compiled = (module: string, base: string): URL => {
  const url = new URL(module, base).href.replace(/\.ts$/, '.js');
  const root = url.lastIndexOf('/src/');
  return new URL(base.endsWith('.ts') && root >= 0 ? `${url.slice(0, root)}/dist/${url.slice(root + 5)}` : url);
};
