// Bodies, rules, runbooks and configurations, each mutated at random: never a crash, never a changed prototype, either
// refused with a problem or accepted, and quickly.
import { readdirSync, readFileSync } from 'node:fs';
import { buildCatalog } from '../src/catalog.ts';
import { loadConfig } from '../src/config.ts';
import { parseDelivery } from '../src/alert/webhook.ts';
import { loadParts } from '../src/app.ts';
import { configOf, MEND, ruleOf } from './content.mjs';
import { checked, hold } from './expect.mjs';
import { memory } from './resources.ts';
import { openRig } from './rig.ts';

export const covers = [
  'C5 F43 F44 I3 mutated bodies: no polluted prototype, refused with a problem or decided about, each entry once',
  'C11 mutated rules, runbooks and configurations: never a crash, refused with a problem or valid',
];

const root = new URL('../', import.meta.url);
const textsOf = (folder, ending) =>
  readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' })
    .map(String)
    .filter((name) => name.endsWith(ending) && !name.endsWith('.test.yaml'))
    .map((name) => ({ file: `${folder}${name}`, text: readFileSync(new URL(`${folder}${name}`, root), 'utf8') }));

const WORDS = [
  '__proto__',
  'constructor',
  'prototype',
  'polluted',
  'alertname',
  'component',
  'target',
  '\u0000',
  '\ud800',
  '\u202e',
  '',
  '${{ x }}',
];
const VALUES = [
  () => null,
  () => true,
  () => -0,
  () => 1e308,
  () => 2 ** 53,
  () => '',
  () => 'not-a-date',
  () => '0001-01-01T00:00:00Z',
  () => '9999-12-31T23:59:59.999999999+14:00',
  () => 'x'.repeat(10_000),
  () => '\ud800\u0000\u001b[31m',
  () => [],
  () => ({}),
  () => JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'),
  () => [[[[[[[[[[]]]]]]]]]],
  () => ({ all: [] }),
  () => '${{ connect.url }}',
  () => '1h',
];

/** One place of the tree becomes something else, goes, comes twice or gets a name that is none. */
const mutateTree = (tree, random) => {
  const copy = structuredClone(tree);
  const places = [];
  const walk = (value, depth) => {
    if (value === null || typeof value !== 'object' || depth > 12) return;
    for (const key of Object.keys(value)) {
      places.push([value, key]);
      walk(value[key], depth + 1);
    }
  };
  walk(copy, 0);
  for (let times = 1 + random.below(3); times > 0 && places.length > 0; times -= 1) {
    const [parent, key] = random.of(places);
    const way = random.below(5);
    if (way === 0) delete parent[key];
    else if (way === 1 && !Array.isArray(parent))
      Object.defineProperty(parent, random.of(WORDS), {
        value: random.of(VALUES)(),
        enumerable: true,
        configurable: true,
        writable: true,
      });
    else if (way === 2 && Array.isArray(parent)) parent.push(structuredClone(parent[key]));
    else
      Object.defineProperty(parent, key, {
        value: random.of(VALUES)(),
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
  return copy;
};

/** As text: bytes go, come twice, turn, or are cut off. */
const mutateText = (text, random) => {
  let mutated = text;
  for (let times = 1 + random.below(4); times > 0; times -= 1) {
    const at = random.below(mutated.length + 1);
    const to = at + random.below(40);
    const way = random.below(6);
    if (way === 0) mutated = mutated.slice(0, at) + mutated.slice(to);
    else if (way === 1) mutated = mutated.slice(0, to) + mutated.slice(at);
    else if (way === 2)
      mutated = mutated.slice(0, at) + String.fromCharCode(random.below(65_536)) + mutated.slice(at + 1);
    else if (way === 3)
      mutated =
        mutated.slice(0, at) +
        random.of(['{', '}', '[', ']', '"', ':', '\n', '- ', '&a ', '*a', '!!js/x ', '<<: ', '\t', '"__proto__": 1,']) +
        mutated.slice(at);
    else if (way === 4) mutated = mutated.slice(0, at);
    else {
      const lines = mutated.split('\n');
      lines.splice(random.below(lines.length), 0, random.of(lines));
      mutated = lines.join('\n');
    }
  }
  return mutated;
};

/** Slower than this on a quick machine would hold the thread that answers. */
const SLOWEST_MS = 2_000;
const guard = async (id, what, text, work) => {
  const start = performance.now();
  let result;
  try {
    result = await work();
  } catch (error) {
    throw new Error(`${id}: ${what} was neither refused nor accepted:\n${text.slice(0, 2_000)}`, { cause: error });
  }
  hold(
    'C5',
    `${what} polluted a prototype: ${text.slice(0, 500)}`,
    {}.polluted === undefined && [].polluted === undefined,
  );
  const took = performance.now() - start;
  hold(id, `${what} took ${Math.round(took)} ms: ${text.slice(0, 500)}`, took < SLOWEST_MS);
  hold(id, `${what} was refused without a problem: ${text.slice(0, 500)}`, result.ok || result.problems.length > 0);
  return result.ok;
};

const bodies = async (count, random, over) => {
  const captures = textsOf('test/captures/', '.json').filter(({ text }) => text.length < 20_000);
  const rig = await openRig({
    config: configOf({}, { shop: { targets: ['a', 'b'] } }),
    files: { 'rules/shop.json': ruleOf('shop-down', 'ShopDown', 'shop/mend'), 'runbooks/shop/mend.yaml': MEND },
  });
  let accepted = 0;
  try {
    for (let number = 0; number < count && !over(); number += 1) {
      const { text } = random.of(captures);
      const body =
        random.next() < 0.7 ? JSON.stringify(mutateTree(JSON.parse(text), random)) : mutateText(text, random);
      const bytes = Buffer.from(body);
      if (random.next() < 0.1) bytes[random.below(bytes.length)] = random.below(256);
      const parsed = await guard('C5', `body ${number}`, body, async () => parseDelivery(bytes, Date.now()));
      // A part of them goes all the way.
      if (number % 5 !== 0) continue;
      const submission = await rig.engine.intake.submit('alertmanager', bytes);
      hold(
        'C5',
        `body ${number} was ${submission.status}: ${body.slice(0, 500)}`,
        (submission.status === 'accepted') === parsed,
      );
      if (parsed) accepted += 1;
      if (number % 500 === 0) await rig.settle();
      if (number % 100 === 0) memory.look();
    }
    await rig.settle();
    hold('C5', 'a prototype is polluted', {}.polluted === undefined);
    checked(`${accepted} mutated bodies`, { database: rig.database, ledger: rig.targets.felt(), atRest: true });
  } finally {
    await rig.close();
  }
  return accepted;
};

const catalogs = async (count, random, over) => {
  const parts = await loadParts();
  const text = readFileSync(new URL('amends.yaml', root), 'utf8');
  const readers = (said) => ({ readText: async () => said, glob: async () => [] });
  const config = await loadConfig('amends.yaml', readers(text));
  hold('C11', `amends.yaml itself is refused: ${JSON.stringify(config.problems)}`, config.ok);
  const rules = textsOf('rules/', '.json');
  const runbooks = textsOf('runbooks/', '.yaml');
  const bad = [
    ...textsOf('test/refusals/rules/', '.json').map((file) => ({
      ...file,
      file: `rules/${file.file.split('/').at(-1)}`,
    })),
    ...textsOf('test/refusals/runbooks/', '.yaml').map((file) => ({
      ...file,
      file: `runbooks/redis/${file.file.split('/').at(-1)}`,
    })),
  ];
  const whole = buildCatalog({ rules, runbooks, conditions: [] }, { config: config.value, ...parts });
  hold('C11', `what is shipped is refused: ${JSON.stringify(whole.problems)}`, whole.ok);
  let accepted = 0;
  for (let number = 0; number < count && !over(); number += 1) {
    if (number % 20 === 0) memory.look();
    const kind = random.below(3);
    if (kind === 2) {
      const said = mutateText(text, random);
      accepted += (await guard('C11', `configuration ${number}`, said, () => loadConfig('amends.yaml', readers(said))))
        ? 1
        : 0;
      continue;
    }
    const seeds =
      random.next() < 0.2
        ? bad.filter(({ file }) => file.endsWith(kind === 0 ? '.json' : '.yaml'))
        : kind === 0
          ? rules
          : runbooks;
    const one = random.of(seeds);
    let said = mutateText(one.text, random);
    if (kind === 0 && random.next() < 0.7) {
      try {
        said = JSON.stringify(mutateTree(JSON.parse(one.text), random), null, 2);
      } catch {
        // A file that is no JSON to begin with: as text, then.
      }
    }
    const others = (files) => [
      ...files.filter(({ file }) => file !== one.file),
      ...(files === (kind === 0 ? rules : runbooks) ? [{ ...one, text: said }] : []),
    ];
    const files = { rules: others(rules), runbooks: others(runbooks), conditions: [] };
    const options = { config: config.value, ...parts };
    accepted += (await guard('C11', `${one.file} ${number}`, said, async () => buildCatalog(files, options))) ? 1 : 0;
  }
  return accepted;
};

export default async ({ quick, random, over }) => {
  const [many, some] = quick ? [5_000, 600] : [100_000, 100_000];
  const decided = await bodies(many, random, () => over(0.4));
  const valid = await catalogs(some, random, over);
  return `${many} bodies (every fifth all the way, ${decided} accepted and decided about), ${some} rules, runbooks and configurations (${valid} still valid)`;
};
