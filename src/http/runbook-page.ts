// The page behind an alert's runbook_url: a runbook as a person reads it at three in the morning, in any browser, with
// nothing to load. All of it is text from a file, so all of it is escaped, and it has neither style nor script.
import { formatDuration } from '../base/duration.ts';
import { isApproval } from '../runbook/runbook.ts';
import type { Aftermath, Check, Input, Runbook, Step } from '../runbook/runbook.ts';

export const runbookPage = (runbook: Runbook): string =>
  [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escaped(runbook.name)} - amends</title>`,
    '</head>',
    '<body>',
    `<h1>${escaped(runbook.name)}</h1>`,
    `<p>${escaped(runbook.summary)}</p>`,
    `<p>Severity ${escaped(runbook.severity)}. ${EFFECTS[runbook.effect]} Steps and verification take at most ${formatDuration(runbook.timeout)}.</p>`,
    ...section('What a human does when it does not help', [`<pre>${escaped(runbook.guide.trimEnd())}</pre>`]),
    ...section('Before', listed(runbook.before.map(stepText))),
    ...section('Steps', listed(runbook.steps.map(stepText))),
    ...section('Verification', listed(runbook.verify.map(checkText))),
    ...section('Rollback', listed((runbook.rollback ?? []).map(stepText))),
    ...section(
      'Afterwards',
      listed([
        ...aftermath('when it is verified', runbook.onSuccess),
        ...aftermath('when it failed', runbook.onFailure),
        ...aftermath('when nothing automatic is left', runbook.onExhausted),
      ]),
    ),
    ...section('Inputs', listed(Object.entries(runbook.inputs).map(([name, input]) => inputText(name, input)))),
    `<p>From ${code(runbook.file)}. In a terminal: ${code(`amends runbook show ${runbook.name}`)}</p>`,
    '</body>',
    '</html>',
    '',
  ].join('\n');

const EFFECTS: Readonly<Record<Runbook['effect'], string>> = {
  read: 'It only reads.',
  change: 'It changes things.',
  destroy: 'It may destroy things.',
};

export const escaped = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');

const code = (text: string): string => `<code>${escaped(text)}</code>`;

const section = (title: string, body: readonly string[]): readonly string[] =>
  body.length === 0 ? [] : [`<h2>${title}</h2>`, ...body];

const listed = (items: readonly string[]): readonly string[] =>
  items.length === 0 ? [] : ['<ol>', ...items.map((item) => `<li>${item}</li>`), '</ol>'];

const given = (values: object): string =>
  Object.keys(values).length === 0 ? '' : ` with ${code(JSON.stringify(values))}`;

const stepText = (step: Step): string => {
  const condition = step.if === null ? '' : `, only if ${code(step.if)}`;
  if (isApproval(step)) {
    const { question, expires } = step.approve;
    return `${code(step.id)}: asks a human, for ${formatDuration(expires)}: ${escaped(question)}${condition}`;
  }
  const goesOn = step.continueOnError ? ', and goes on if it fails' : '';
  const undo = step.undo === null ? '' : `, undone by ${code(step.undo.uses)}`;
  return `${code(step.id)}: ${code(step.uses)}${given(step.with)}${condition}${goesOn}${undo}`;
};

const checkText = (check: Check): string => {
  if (check.type === 'query') {
    const { operator, value } = check.comparison;
    return `${code(check.query)} is ${operator} ${value} within ${formatDuration(check.within)}`;
  }
  const times = check.of > 1 ? `, ${check.need} of ${check.of} times` : '';
  const hold = check.hold > 0 ? `, and holds for ${formatDuration(check.hold)}` : '';
  const expect = check.expect === null ? '' : `, and ${code(check.expect)}`;
  return `${code(check.uses)}${given(check.with)} succeeds${times}${hold}${expect}`;
};

const aftermath = (when: string, { steps, degrade, clear, escalate }: Aftermath): readonly string[] => {
  const done = [
    ...steps.map(stepText),
    ...(degrade === null ? [] : [`the degraded mode ${code(degrade)} begins`]),
    ...(clear === null ? [] : [`the degraded mode ${code(clear)} ends`]),
    ...(escalate === null ? [] : [`a human is called, ${escaped(escalate)}`]),
  ];
  return done.map((text) => `${when}: ${text}`);
};

const inputText = (name: string, { type, description, default: usual }: Input): string => {
  const value = usual === undefined ? 'required' : `${code(JSON.stringify(usual))} if not given`;
  return `${code(name)}, a ${type}, ${value}${description === '' ? '' : `: ${escaped(description)}`}`;
};
