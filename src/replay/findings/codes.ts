// Every code that `amends check` can say, with its cause and its mend in a line each: docs/check.md and SARIF have them from
// here. A problem's own message and mend are about the case at hand.

export type CodeEntry = { readonly cause: string; readonly mend: string };

const FILES = {
  alias: ['YAML aliases (*name) are not taken', 'write the value out'],
  'bad-json': ['the file is not JSON', 'JSON has no comments, no trailing commas and double quotes only'],
  'bad-key': ['a key is not plain text', 'rename it'],
  'bad-path': [
    'a runbook is named by its path, or a path is not absolute',
    'runbooks/<kind>/<strategy>.yaml; write paths out from /',
  ],
  'bad-yaml': ['the file is not YAML', 'quote text that holds : # { } [ ] & * ! | > % @ or `'],
  'duplicate-key': ['a key stands twice in one mapping', 'keep one of them'],
  empty: ['the file is empty', 'write it, or take it away'],
  'forbidden-key': ['a key is called __proto__', 'rename it'],
  'missing-file': ['rule_files or runbook_files names what is not there', 'make it, or correct the pattern'],
  'no-such-file': ['a file that is named is not there', 'create it, or name another'],
  'not-a-file': ['what matches is a FIFO, a device or a socket', 'take it away'],
  'not-a-number': ['infinity and NaN are no values here', 'write a number'],
  'not-yaml': ['the file is not YAML', 'see the YAML 1.2 syntax'],
  'number-too-large': ['a whole number would lose digits', 'quote it'],
  'several-documents': ['the file holds more than one YAML document', 'one file, one document'],
  tag: ['YAML tags (!name) are not taken', 'leave the tag out; quote a text that begins with !'],
  'too-deep': ['the file is nested too deep', 'flatten it'],
  'too-large': ['the file, or all of them together, are too large', 'split it'],
  'too-many-files': ['a pattern matches too many files', 'narrow it'],
  unreadable: ['the file cannot be read, or is not UTF-8', 'make it readable; save it as UTF-8'],
  'unreadable-file': ['the file cannot be read', 'make it readable for amends'],
  'yaml-alias': ['YAML aliases (*name) are not taken', 'write the value out where it is used'],
} as const;

const SHAPE = {
  'bad-value': ['a value is not one that may stand there', 'the message says which may'],
  missing: ['a key that is needed is missing', 'add it'],
  'missing-key': ['a key that is needed is missing', 'add it'],
  'unknown-key': ['a key is not known there', 'correct the name, or take it out'],
  'wrong-shape': ['the value could not be read at all', 'see the JSON Schema in schemas/'],
  'wrong-type': ['a value is of another type', 'the message says of which it is'],
  'wrong-value': ['a value is not one that may stand there', 'the message says which may'],
} as const;

const CONFIGURATION = {
  'bad-kind': [
    'the name of a component cannot name a folder of runbooks',
    'give it a kind: lower-case letters, digits, _ and -',
  ],
  'bad-expression': ['a regular expression cannot be read', 'RE2 syntax'],
  'bad-matcher': ['a matcher cannot be read', 'as in Alertmanager: job="redis-cache"'],
  'bad-replacement': [
    'a replacement names a group that the expression does not have',
    'add the group, or correct its number',
  ],
  'bad-schedule': ['a schedule cannot be read, or never comes', 'five fields: minute, hour, day, month, weekday'],
  'bad-timezone': ['a time zone is not known', 'a name of the IANA database, such as Europe/Berlin'],
  'bad-url': ['an address is not http or https', 'write it like http://127.0.0.1:9093'],
  contradiction: ['two settings contradict each other', 'keep one of them'],
  'duplicate-name': ['a name is taken', 'rename one of them'],
  'duplicate-target': ['a target stands in two inventories of one kind, or twice in one', 'leave it in one'],
  'matches-everything': [
    'every alert without these labels would be of the component',
    'add a matcher that needs a label',
  ],
  'needs-prometheus': ['something asks Prometheus, and none is configured', 'add prometheus: { url: ... }'],
  'no-domain': ['targets lack the label that names their failure domain', 'label each entry of the inventory'],
  'out-of-range': ['a figure or a duration is out of its bounds', 'the message has the bounds'],
  'said-twice': ['two keys say the same thing', 'keep one of them'],
  'secret-in-file': ['a secret stands in plain text', 'name the file that holds it: ..._file'],
  'too-many-targets': ['an inventory is too large', 'split the component'],
  'two-credentials': ['basic_auth and bearer_token_file exclude each other', 'leave one of them out'],
  'unknown-name': ['something is named that is not declared', 'correct the name, or declare it'],
  'weak-token': ['a token could be guessed', 'make one with: openssl rand -hex 32'],
} as const;

const RULES = {
  'bad-operator': ['an operator does not go with the type of the fact', 'use another operator, or another fact'],
  'bad-params': ['params are not what the fact takes', 'the message says what it takes'],
  'bad-regex': ['a pattern cannot be read', 'RE2 syntax; no look-around, no back-references'],
  'condition-cycle': ['named conditions go round in a circle', 'take one of them out'],
  'destructive-auto': [
    'a runbook that destroys something would run without asking',
    'mode approve, or "accept_destructive": true',
  ],
  'empty-all': ['an all without conditions would hold always', 'write a condition, or take it out'],
  'empty-any': ['an any without conditions would never hold', 'write a condition, or take it out'],
  'looser-limit': ['a rule would loosen a limit of its component', 'make it tighter, or take it out'],
  'missing-input': ['a runbook needs an input that the rule does not give', 'add it to with'],
  'no-positive-match': [
    'the rule is about no alert in particular',
    'add a condition on alertname, a label or component',
  ],
  'numeric-on-text': ['an operator on numbers stands with a text', 'use matches or in, or a fact that is a number'],
  'operator-decorator': ['operators have no decorators here', 'write any or all of conditions'],
  'path-refused': ['a condition may not have a path', 'facts are flat: label.<name>, annotation.<name>'],
  'unguarded-negative': ['a negative on what an alert may not have', 'add an exists beside it'],
  'unknown-condition': [
    'there is no named condition of that name',
    'correct the name, or write conditions/<name>.json',
  ],
  'unknown-event': ['an event is none of remediate, escalate, observe, ignore', 'use one of them'],
  'unknown-fact': ['there is no fact of that name', 'docs/rules.md has them; a label is label.<name>'],
  'unknown-operator': ['there is no operator of that name', 'docs/rules.md has them'],
  'unknown-runbook': ['there is no runbook of that name', 'correct the name, or write runbooks/<kind>/<strategy>.yaml'],
  'value-fact': ['a condition compares with another fact', 'write the value out'],
} as const;

const RUNBOOKS = {
  'address-from-alert': ['an address would come from a label', 'use connect, which is declared'],
  'bad-condition': ['an if or expect holds what may not stand there', 'docs/runbooks.md has what may'],
  'bad-input': ['a value does not fit the input it is for', 'the message says what fits'],
  'bad-pattern': ['the pattern of an input cannot be read', 'RE2 syntax'],
  'bad-query-check': ['a query is not compared once', 'one of above, below and equal, with a number'],
  'bad-template': ['a template ${{ }} is not one path', 'for example ${{ connect.url }}'],
  'bad-timeout': ['a timeout is nothing, or longer than the whole runbook', 'write for example 10s'],
  'command-from-outside': ['which command runs would come from outside', 'write the command out'],
  'workload-from-outside': [
    'which workload of a cluster is changed would come from outside',
    'hand over ${{ connect }} whole',
  ],
  'degrade-and-clear': ['one aftermath degrades and clears', 'take one of them out'],
  'duplicate-group': ['a group of steps stands in two files', 'keep one of them'],
  'duplicate-runbook': ['a runbook stands in two files', 'keep one of them'],
  'duplicate-step': ['a step id stands twice', 'give each step its own'],
  'effect-out-of-place': ['an action changes or destroys where it may not', 'move it, or use one that only reads'],
  'foreign-spelling': [
    'a spelling of GitHub Actions or of a template language',
    'the message has the one that holds here',
  ],
  'host-from-outside': ['a host would come from a label, an input or a step', 'use connect, which is declared'],
  'idempotent-missing': [
    'nothing says whether a step that changes something may be done twice',
    'idempotent: true or false',
  ],
  interpreter: [
    'a program runs what its arguments say, and they come from outside',
    'a program of your own with fixed arguments',
  ],
  'never-verified': ['a check can never pass', 'raise timeout or of, or ask for less'],
  'not-a-condition': ['a condition cannot be read as CEL', 'docs/runbooks.md has examples'],
  'not-yet': ['a value of a step that comes later', 'move that step before this one'],
  'undo-and-rollback': ['a runbook with a rollback has no undo', 'take one of them out'],
  'unknown-action': ['there is no action of that name', 'docs/actions.md has them'],
  'unknown-context': [
    'a template names what is not known there',
    'inputs, target, connect, component, alert, run, steps',
  ],
  'unknown-degraded-mode': ['there is no degraded mode of that name', 'declare it under degraded_modes'],
  'unknown-group': ['there is no group of steps of that name', 'write groups/<name>.yaml'],
  'unknown-input': ['a rule gives an input that the runbook does not declare', 'correct the name, or declare it'],
  'unknown-outcome': ['a step has no such outcome', 'succeeded, failed, skipped, pending, unknown'],
  'unlike-types': ['things of different types are compared', 'compare with a value of the same type'],
} as const;

const FOUND = {
  'alert-without-rule': [
    'no rule can answer an alert of the alert files',
    'write a rule for it, or say that it is for people alone',
  ],
  'bad-alert-file': ['a file among the alert files is none of Prometheus', 'promtool check rules; or --alerts=GLOB'],
  'conflicting-actions': [
    'two rules are for the same alerts and undo each other’s work',
    'let one decide, or let their conditions exclude each other',
  ],
  'equal-priority': ['which of two rules wins hangs on their names', 'give the one that is meant a higher priority'],
  loop: ['what rules do raises alerts that they answer, in a circle', 'take the alert out of one of them'],
  'never-matches': ['a rule can match no alert', 'correct its conditions'],
  'never-wins': [
    'others are asked before a rule and match whenever it would',
    'give it a higher priority, or take it away',
  ],
  'no-backup': [
    'a step destroys something, and nothing is kept before it',
    'put a backup before it, or give it an undo',
  ],
  'no-guide': ['a runbook has no page for people', 'write guide: |'],
  'no-timeout': ['a step that changes something does not say how long it may take', 'write timeout:'],
  'prometheus-unreachable': ['--prometheus.url does not answer', 'see that it does, or leave it out'],
  'rule-without-alert': ['no alert of the alert files can set off a rule', 'correct the name, or write the alert'],
  'unchecked-label': [
    'a label reaches a command, a path or an address, and nothing says what it may be',
    'an input with a pattern',
  ],
  'unknown-alert': ['the Prometheus that was asked has no alert of that name', 'load its file, or correct the name'],
  'unknown-label': [
    'the Prometheus that was asked has no such label, or never with that value',
    'correct it, or put the label on the alert',
  ],
  'unknown-metric': [
    'the Prometheus that was asked has no such series',
    'see that it is scraped, or correct the query',
  ],
  'empty-inventory': ['a component has no target', 'name its targets, or take it out'],
  'unused-condition': ['no rule uses a named condition', 'take it away'],
  'unused-group': ['no runbook begins with a group of steps', 'take it away'],
  'unused-ignore': ['something is ignored that is not found', 'take it out'],
  'unused-input': ['nothing in a runbook reads an input that it declares', 'use it, or take it away'],
  'unused-runbook': ['no rule uses a runbook', 'let a rule name it, or take it away'],
  'verify-cannot-fail': [
    'a check passes whether or not the system has recovered',
    'expect: what only a recovered system has',
  ],
} as const;

const SECTIONS: ReadonlyArray<readonly [string, Readonly<Record<string, readonly [string, string]>>]> = [
  ['Findings', FOUND],
  ['Refused: files', FILES],
  ['Refused: shape', SHAPE],
  ['Refused: configuration', CONFIGURATION],
  ['Refused: rules', RULES],
  ['Refused: runbooks', RUNBOOKS],
];

/** By section, in the order in which people read them. */
export const CODE_SECTIONS: ReadonlyArray<{
  readonly title: string;
  readonly codes: ReadonlyMap<string, CodeEntry>;
}> = SECTIONS.map(([title, entries]) => ({
  title,
  codes: new Map(Object.entries(entries).map(([code, [cause, mend]]) => [code, { cause, mend }])),
}));

export const CODES: ReadonlyMap<string, CodeEntry> = new Map(CODE_SECTIONS.flatMap(({ codes }) => [...codes]));
