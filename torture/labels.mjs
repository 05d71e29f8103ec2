// Hostile labels, annotations, inputs and answers against every shipped runbook and some of our own that put as much of
// them into commands as a runbook may: whatever is filled in stays one argument, in its place, and what is run is what
// was declared. The spawner only writes down what it is asked for.
import { readdirSync, readFileSync } from 'node:fs';
import { renderStep } from '../src/engine/step.ts';
import { buildCatalog } from '../src/catalog.ts';
import { builtInConfig, loadConfig } from '../src/config.ts';
import { loadParts } from '../src/app.ts';
import { resolveInputs } from '../src/runbook/inputs.ts';
import { isApproval } from '../src/runbook/runbook.ts';
import { compileTemplate, styleOf } from '../src/runbook/template.ts';
import { RUNBOOK_ROOTS } from '../src/runbook/path.ts';
import { fold } from '../src/run/state.ts';
import { stepKey, stepsOf } from '../src/run/steps.ts';
import { hold } from './expect.mjs';
import { INJECTIONS } from './injections.mjs';
import { memory } from './resources.ts';

export const covers = [
  'C4 a million sets of hostile labels against every shipped runbook, with a spawner that only writes down: arguments stay as many as they are and in their places, nothing undeclared is run',
];

const root = new URL('../', import.meta.url);
const PHASES = ['before', 'steps', 'on_success', 'on_failure', 'on_exhausted', 'undo', 'rollback'];
const FOREIGN = new Set(['alert', 'label', 'annotation', 'inputs', 'steps', 'undo']);
const LABELS = ['alertname', 'component', 'target', 'instance', 'job', 'pod', 'namespace', 'service', 'a', 'b'];

const hostile = (random) => {
  const way = random.below(6);
  if (way < 3) return random.of(INJECTIONS);
  if (way === 3) return random.of(INJECTIONS) + random.of(INJECTIONS);
  return String.fromCharCode(...Array.from({ length: random.below(12) }, () => random.below(way === 4 ? 128 : 65_536)));
};

/** What a runbook may take from outside into a command; `text` is checked by its own pattern. */
const OURS = {
  'shop/plain': `version: 1
summary: Takes labels as arguments.
severity: SEV3
timeout: 1m
guide: Look at it.
inputs:
  text: { type: string, pattern: '[a-z0-9.-]{1,20}', default: none }
steps:
  - id: plain
    uses: command.run
    idempotent: false
    with: { argv: [ /usr/bin/shop, restart, "\${{ alert.labels.a }}", "pod=\${{ alert.labels.pod }}", "\${{ inputs.text }}", "\${{ alert.annotations.a }}" ] }
  - id: after
    uses: command.run
    idempotent: false
    with: { argv: [ /usr/bin/shop, look, "/var/lib/shop/\${{ alert.labels.b }}.db", "\${{ steps.plain.outputs.stdout }}" ], stdin: "\${{ alert.labels.b }}" }
verify:
  - { uses: http.get, with: { url: 'http://127.0.0.1:1/' } }
`,
};
const PATTERN = /^[a-z0-9.-]{1,20}$/;

const textsOf = (folder, ending) =>
  readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending) && !name.endsWith('.test.yaml'))
    .map((name) => ({ file: `${folder}${name}`, text: readFileSync(new URL(`${folder}${name}`, root), 'utf8') }));

/** A declared value for everything that the runbook reads of `connect`: what it is hangs on its name. */
const connectFor = (steps) => {
  const connect = {};
  for (const { step } of steps) {
    const compiled = compileTemplate(step.with, [...RUNBOOK_ROOTS, 'undo']);
    for (const { path, pointer } of compiled.ok ? compiled.value.references : []) {
      if (path[0] !== 'connect' || path.length < 2) continue;
      let place = connect;
      for (const name of path.slice(1, -1)) {
        if (typeof place[name] !== 'object' || Array.isArray(place[name])) place[name] = {};
        place = place[name];
      }
      place[path.at(-1)] ??= /argv|command/.test(pointer) ? ['/usr/bin/declared', 'go', '--now'] : '/srv/declared';
    }
  }
  return connect;
};

/** Leaf by leaf: where `found` differs from `plain`, and whether it has another shape. */
const differences = (plain, found, at = '') => {
  if (plain === null || typeof plain !== 'object' || found === null || typeof found !== 'object')
    return Object.is(plain, found) ? [] : [{ at, plain, found }];
  const [left, right] = [Object.keys(plain), Object.keys(found)];
  if (
    Array.isArray(plain) !== Array.isArray(found) ||
    left.length !== right.length ||
    left.some((key) => !right.includes(key))
  )
    return [{ at, plain, found, shape: true }];
  return left.flatMap((key) => differences(plain[key], found[key], `${at}/${key}`));
};

// oxlint-disable-next-line no-control-regex
const UNFIT = /^[-@]|[\0-\u001f\u007f]/;
const stringsIn = (value) =>
  typeof value === 'string'
    ? [value]
    : value !== null && typeof value === 'object'
      ? Object.values(value).flatMap(stringsIn)
      : [];

/** A step with what it comes to when everything from outside is tame. */
const casesOf = (runbook, component) => {
  const steps = PHASES.flatMap((phase) =>
    stepsOf(runbook, phase)
      .filter((step) => !isApproval(step))
      .map((step) => ({ step, key: stepKey(phase, step.id) })),
  );
  const connect = connectFor(steps);
  const isOpen = ({ step }) => {
    const compiled = compileTemplate(step.with, [...RUNBOOK_ROOTS, 'undo']);
    return compiled.ok && compiled.value.references.some(({ path }) => FOREIGN.has(path[0]));
  };
  const open = steps.filter(isOpen);
  const shut = steps.filter((one) => one.step.uses === 'command.run' && !isOpen(one));
  return { runbook, component, connect, open, shut, steps: [...open, ...shut] };
};

const TAME = 'tame';
const SHUT_EVERY = 20;
const planOf = ({ runbook, component, connect }, inputs, said) => ({
  runbook,
  inputs,
  component: { name: component, kind: component, team: null, allowedActions: ['*'] },
  target: { name: 'main', connect, labels: {} },
  alert: {
    labels: Object.fromEntries(LABELS.map((name) => [name, said()])),
    annotations: { a: said(), summary: said(), description: said() },
    startsAt: 0,
    source: 'alertmanager',
  },
});

/** Every step before has gone well, and its target answered with what `said` gives. */
const stateOf = (runbook, said, fresh) => ({
  ...fresh,
  steps: new Map(
    PHASES.flatMap((phase) =>
      stepsOf(runbook, phase).map((step) => [
        stepKey(phase, step.id),
        {
          status: 'succeeded',
          outputs: new Proxy(
            {},
            {
              get: () => said(),
              has: () => true,
              getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true, value: said() }),
            },
          ),
          undo: new Proxy(
            {},
            {
              get: () => said(),
              has: () => true,
              getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true, value: said() }),
            },
          ),
          error: null,
        },
      ]),
    ),
  ),
});

/** What fits each declared input, as tame as can be; hostile ones are offered and mostly refused. */
const TYPED = { string: TAME, number: 1.5, list: [TAME], boolean: true, duration: '30s' };
const inputsOf = (runbook, random, sum) => {
  const offer = (name, input) => {
    const value =
      random === null || random.below(3) === 0 ? (input.default ?? TYPED[input.type] ?? TAME) : hostile(random);
    return [name, value];
  };
  const given = Object.fromEntries(Object.entries(runbook.inputs).map(([name, input]) => offer(name, input)));
  const resolved = resolveInputs(runbook, given);
  if (resolved.ok) return resolved.value;
  sum.inputsRefused += 1;
  return null;
};

export default async ({ quick, random, over, say }) => {
  const parts = await loadParts();
  const text = readFileSync(new URL('amends.yaml', root), 'utf8');
  const config = await loadConfig('amends.yaml', { readText: async () => text, glob: async () => [] });
  hold('C4', 'amends.yaml is refused', config.ok);
  const load = (runbooks, given) => buildCatalog({ rules: [], runbooks, conditions: [] }, { config: given, ...parts });
  const shipped = load(textsOf('runbooks/', '.yaml'), config.value);
  hold('C4', `the shipped runbooks are refused: ${JSON.stringify(shipped.problems)}`, shipped.ok);
  const ours = load(
    Object.entries(OURS).map(([name, said]) => ({ file: `runbooks/${name}.yaml`, text: said })),
    builtInConfig('.', null),
  );
  hold('C4', `ours are refused: ${JSON.stringify(ours.problems)}`, ours.ok);
  const cases = [...shipped.value.runbooks.values(), ...ours.value.runbooks.values()].map((runbook) =>
    casesOf(runbook, runbook.name.split('/')[0]),
  );
  const command = parts.actions.get('command.run');
  const sum = { sets: 0, rendered: 0, refused: 0, changed: 0, ran: 0, inputsRefused: 0 };
  const asked = [];
  const context = (allow) => ({
    allow: { hosts: [], commands: allow, paths: [], containers: [] },
    spawner: {
      run: async (request) => {
        asked.push(request);
        return {
          started: true,
          exitCode: 0,
          signal: null,
          timedOut: false,
          stdout: { text: '', dropped: 0 },
          stderr: { text: '', dropped: 0 },
          error: null,
        };
      },
    },
    clock: { monotonic: () => 0 },
    deadline: 10_000,
    signal: new AbortController().signal,
    marker: 'run/steps/x',
    began() {},
  });
  const fresh = new Map(
    cases.map((one) => [
      one.runbook.name,
      fold(
        planOf(one, {}, () => TAME),
        [],
      ),
    ]),
  );
  /** The step's input where all is tame; null where tame words do not fit it. */
  const plain = new Map();
  for (const one of cases) {
    const inputs = inputsOf(one.runbook, null, sum) ?? {};
    const [plan, state] = [
      planOf(one, inputs, () => TAME),
      stateOf(one.runbook, () => TAME, fresh.get(one.runbook.name)),
    ];
    for (const { step, key } of one.steps) {
      const rendered = renderStep(plan, 'run', state, key, step);
      plain.set(`${one.runbook.name} ${key}`, rendered.ok ? rendered.input : null);
    }
  }
  const open = [...plain.values()].filter((input) => input !== null).length;
  hold('C4', `only ${open} of ${plain.size} steps can be filled`, open > plain.size / 2);

  /** One step with these words: filled as declared or refused, and run as declared. */
  const tryStep = async (one, plan, state, { step, key }) => {
    const rendered = renderStep(plan, 'run', state, key, step);
    sum.rendered += 1;
    if (!rendered.ok) {
      sum.refused += 1;
      return;
    }
    const tame = plain.get(`${one.runbook.name} ${key}`);
    const label = `${one.runbook.name} ${key} with ${JSON.stringify(plan.alert.labels).slice(0, 600)}`;
    if (tame !== null) {
      const changed = differences(tame, rendered.input);
      if (changed.length > 0) sum.changed += 1;
      for (const { at, found, shape } of changed) {
        if (styleOf(step.uses) === 'text') continue;
        hold(
          'C4',
          `${label}: ${at} has another shape: ${JSON.stringify(found)}`,
          shape !== true || !at.startsWith('/argv'),
        );
        for (const word of stringsIn(found))
          hold('C4', `${label}: ${at} became ${JSON.stringify(word)}`, !UNFIT.test(word));
      }
    }
    if (step.uses !== 'command.run') return;
    const before = asked.length;
    const input = command.input.safeParse(rendered.input);
    if (!input.success) {
      sum.refused += 1;
      return;
    }
    await command.run(input.data, context([(tame ?? rendered.input).argv[0]]));
    const [request, ...more] = asked.splice(before);
    hold('C4', `${label}: ${more.length + 1} commands`, request !== undefined && more.length === 0);
    sum.ran += 1;
    hold('C4', `${label}: ${request.file} was run`, request.file === tame.argv[0]);
    hold('C4', `${label}: ${request.args.length} arguments`, request.args.length === tame.argv.length - 1);
    if (one.runbook.name in OURS) meant(label, key, request, plan);
    else
      hold(
        'C4',
        `${label}: ${JSON.stringify(request.args)}`,
        request.args.every((word, index) => word === tame.argv[index + 1]),
      );
  };
  /** Our own: each argument is its literal and the whole of what was said, or fits its pattern. */
  const meant = (label, key, { args }, { alert, inputs }) => {
    const { labels, annotations } = alert;
    if (key !== 'steps/plain') {
      hold(
        'C4',
        `${label}: ${args[1]} left its folder`,
        args[1] === `/var/lib/shop/${labels.b}.db` && !/[/\\]|^\.{1,2}$/.test(labels.b),
      );
      return;
    }
    const wanted = ['restart', labels.a, `pod=${labels.pod}`, String(inputs.text), annotations.a];
    hold('C4', `${label}: ${JSON.stringify(args)}`, JSON.stringify(args) === JSON.stringify(wanted));
    hold('C4', `${label}: ${args[3]} does not fit its pattern`, PATTERN.test(args[3]));
  };

  const most = quick ? 2_000 : 1_000_000;
  for (; sum.sets < most && !(over() && sum.sets > 0); sum.sets += 1) {
    // Now and then all of it is tame but for one word, so that what is let through is seen too.
    const rare = random.below(2) === 0;
    const said = () => (rare && random.below(4) > 0 ? TAME : hostile(random));
    for (const one of cases) {
      const inputs = inputsOf(one.runbook, rare ? null : random, sum);
      if (inputs === null) continue;
      const plan = planOf(one, inputs, said);
      const state = stateOf(one.runbook, said, fresh.get(one.runbook.name));
      // Where nothing from outside is named, nothing can come in: a look now and then will do.
      const steps = sum.sets % SHUT_EVERY === 0 ? one.steps : one.open;
      for (const each of steps) await tryStep(one, plan, state, each);
    }
    if (sum.sets % 1_000 === 0) memory.look();
    if (sum.sets % 100_000 === 99_999) say(`${sum.sets + 1} sets of labels`);
  }
  for (const [what, count] of Object.entries({ refused: sum.refused, changed: sum.changed, ran: sum.ran }))
    hold('C4', `nothing was ${what}`, count > 0);
  return `${sum.sets} sets of labels against ${cases.length} runbooks: ${sum.rendered} steps filled, ${sum.refused} of them refused, ${sum.changed} with words from outside; ${sum.ran} commands, each as declared`;
};
