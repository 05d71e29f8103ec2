// The rules of this house that oxlint does not know: which folder may import which, and what stands in one file alone.
// A rule's exceptions are in .oxlintrc.json, each with its reason.
import { dirname, relative, resolve, sep } from 'node:path';

/**
 * The import order of DESIGN: each part of src/ imports itself and earlier lines. `strangers` of a line do not import
 * each other either; `only` names the one part that may import from the line.
 */
const order = [
  { parts: ['base'] },
  { parts: ['alert'] },
  { parts: ['rule', 'runbook'], strangers: true },
  { parts: ['run'] },
  { parts: ['port'] },
  { parts: ['store', 'actions', 'facts', 'notifiers', 'sources'], strangers: true, only: 'app' },
  { parts: ['catalog', 'metrics', 'config'] },
  { parts: ['engine'] },
  { parts: ['replay'] },
  { parts: ['http', 'console'], strangers: true },
  { parts: ['app'] },
  { parts: ['cli'] },
  { parts: ['main'] },
];

const lineOf = (part) => order.findIndex(({ parts }) => parts.includes(part));

/** `engine` for src/engine/intake.ts, `config` for src/config.ts and src/config-schema.ts, undefined outside of src/. */
function partOf(path) {
  const [top, part] = path.split(sep);
  return top === 'src' ? part.replace(/(-\w+)?\.tsx?$/, '') : undefined;
}

/** Why `from` may not import `to`; undefined when it may. */
function refusal(from, to) {
  if (to === undefined) return `src/${from} imports from outside of src/`;
  if (lineOf(from) < 0) return `src/${from} has no place in the import order (scripts/lint/plugin.mjs)`;
  if (lineOf(to) < 0) return `src/${to} has no place in the import order (scripts/lint/plugin.mjs)`;
  if (from === to) return undefined;
  const line = order[lineOf(to)];
  if (lineOf(from) === lineOf(to)) return line.strangers && `src/${from} and src/${to} do not know each other`;
  if (lineOf(from) < lineOf(to)) return `src/${from} comes before src/${to} in the import order`;
  return line.only && line.only !== from ? `only src/${line.only}.ts names an adapter (src/${to})` : undefined;
}

const importOrder = {
  create(context) {
    const file = relative(context.cwd, context.filename);
    const from = partOf(file);
    if (from === undefined) return {};
    const check = ({ source }) => {
      if (typeof source?.value !== 'string' || !source.value.startsWith('.')) return;
      const message = refusal(from, partOf(relative(context.cwd, resolve(dirname(context.filename), source.value))));
      if (message) context.report({ node: source, message });
    };
    return {
      ImportDeclaration: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
      ImportExpression: check,
      TSImportType: check,
    };
  },
};

/** The name of a member, whether written `a.b` or `a['b']`. */
const nameOf = ({ computed, property }) => (computed ? property.value : property.name);
const isMember = (node, object, names) =>
  node.object.type === 'Identifier' && node.object.name === object && names.includes(nameOf(node));

/** An identifier that only names a member or a key, as in `clock.setTimeout` or `{ setTimeout: 1 }`. */
const isKey = (node) =>
  (node.parent.type === 'MemberExpression' && node.parent.property === node && !node.parent.computed) ||
  (node.parent.key === node && !node.parent.computed && !node.parent.shorthand);

const clock = {
  create(context) {
    const say = (node, what) => context.report({ node, message: `${what}: only src/base/clock.ts knows the time` });
    const timers = ['setTimeout', 'setInterval'];
    const bareDate = (node) => {
      if (node.callee.type === 'Identifier' && node.callee.name === 'Date' && node.arguments.length === 0) {
        say(node, 'the current Date');
      }
    };
    return {
      CallExpression: bareDate,
      NewExpression: bareDate,
      MemberExpression(node) {
        if (isMember(node, 'Date', ['now'])) say(node, 'Date.now');
        if (isMember(node, 'performance', ['now', 'timeOrigin'])) say(node, 'performance.now');
        if (isMember(node, 'process', ['hrtime'])) say(node, 'process.hrtime');
        if (isMember(node, 'globalThis', timers)) say(node, nameOf(node));
      },
      Identifier(node) {
        if (timers.includes(node.name) && !isKey(node)) say(node, node.name);
      },
    };
  },
};

const environment = {
  create(context) {
    const message = 'only src/config.ts reads the environment';
    return {
      MemberExpression(node) {
        if (isMember(node, 'process', ['env'])) context.report({ node, message });
      },
      ImportSpecifier(node) {
        if (/^(node:)?process$/.test(node.parent.source.value) && node.imported.name === 'env') {
          context.report({ node, message });
        }
      },
    };
  },
};

const randomness = {
  create(context) {
    return {
      MemberExpression(node) {
        if (isMember(node, 'Math', ['random'])) {
          context.report({ node, message: 'only src/base/ids.ts draws lots; a test could not repeat this' });
        }
      },
    };
  },
};

const noShell = {
  create(context) {
    const message = 'no shell: spawn a file with its arguments, so that no label is ever read as a command';
    const shells = ['exec', 'execSync'];
    const modules = new Set();
    return {
      ImportDeclaration(node) {
        if (!/^(node:)?child_process$/.test(node.source.value)) return;
        for (const specifier of node.specifiers) {
          if (specifier.type !== 'ImportSpecifier') modules.add(specifier.local.name);
          else if (shells.includes(specifier.imported.name)) context.report({ node: specifier, message });
        }
      },
      MemberExpression(node) {
        if ([...modules].some((name) => isMember(node, name, shells))) context.report({ node, message });
      },
      Property(node) {
        const name = node.key.name ?? node.key.value;
        const off = node.value.type === 'Literal' && node.value.value === false;
        if (name === 'shell' && node.parent.type === 'ObjectExpression' && !off) context.report({ node, message });
      },
    };
  },
};

const noHtml = {
  create(context) {
    const message = 'text goes into the page as textContent, never as HTML: labels are written by strangers';
    const names = new Set(['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'dangerouslySetInnerHTML']);
    return {
      MemberExpression(node) {
        if (names.has(nameOf(node)) || isMember(node, 'document', ['write', 'writeln'])) {
          context.report({ node, message });
        }
      },
      JSXAttribute(node) {
        if (names.has(node.name.name)) context.report({ node, message });
      },
    };
  },
};

export default {
  meta: { name: 'amends' },
  rules: {
    'import-order': importOrder,
    clock,
    environment,
    randomness,
    'no-shell': noShell,
    'no-html': noHtml,
  },
};
