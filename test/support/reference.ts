// The parts of docs/ that the code knows best, rendered from it: actions, facts and routes.
import { readdir } from 'node:fs/promises';
import { z } from 'zod';
import { formatDuration } from '../../src/base/duration.ts';
import { ROUTES } from '../../src/http/routes.ts';
import type { Actions } from '../../src/port/action.ts';
import type { Facts } from '../../src/port/fact.ts';
import { CODE_SECTIONS } from '../../src/replay/findings/codes.ts';

type Schema = {
  type?: string;
  const?: unknown;
  enum?: readonly unknown[];
  default?: unknown;
  anyOf?: readonly Schema[];
  items?: Schema;
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
};

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const code = (value: unknown): string => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;

const row = (...cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
const table = (head: readonly string[], rows: ReadonlyArray<readonly string[]>): readonly string[] => [
  row(...head),
  `|${'---|'.repeat(head.length)}`,
  ...rows.map((cells) => row(...cells)),
];

const typeOf = (schema: Schema): string => {
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ');
  if (schema.const !== undefined) return code(schema.const);
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(typeOf))].join(' or ');
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`;
  return (
    { string: 'text', integer: 'whole number', number: 'number', boolean: 'true or false', object: 'mapping' }[
      schema.type ?? ''
    ] ?? 'any JSON'
  );
};

const need = (name: string, schema: Schema, required: readonly string[]): string => {
  if (schema.default !== undefined) return typeof schema.default === 'object' ? 'empty' : code(schema.default);
  return required.includes(name) ? 'required' : 'none';
};

/** Durations come out of their schemas in milliseconds; people write them with a unit. */
const readable = (name: string, schema: Schema): Schema => {
  const isDuration = schema.type === 'string' && typeof schema.default === 'number';
  return isDuration
    ? { ...schema, default: formatDuration(schema.default as number) }
    : { ...schema, default: name === 'max_wal' ? '100MiB' : schema.default };
};

export const actionReference = (actions: Actions): string => {
  const lines: string[] = [];
  for (const [name, action] of [...actions].toSorted(([left], [right]) => left.localeCompare(right))) {
    const schema = z.toJSONSchema(action.input, { io: 'input' }) as Schema;
    const inputs = Object.entries(schema.properties ?? {}).map(([input, given]) => {
      const member = readable(input, given);
      return [code(input), typeOf(member), need(input, member, schema.required ?? [])];
    });
    const outputs = Object.entries(action.outputs).map(([output, meaning]) => [code(output), meaning]);
    lines.push(
      `## \`${name}\``,
      '',
      action.summary,
      '',
      `Effect: **${action.effect}**. Time limit: ${formatDuration(action.defaultTimeout)}. Undo: ${action.undo}.`,
      '',
      ...table(['input', 'type', 'default'], inputs),
      '',
      ...table(['output', 'meaning'], outputs),
      '',
    );
  }
  return lines.join('\n').trimEnd();
};

export const factReference = (facts: Facts): string => {
  const rows = [...facts]
    .toSorted(([left], [right]) => left.localeCompare(right))
    .map(([name, fact]) => [
      code(fact.family === true ? `${name}.<name>` : name),
      { string: 'text', number: 'number', boolean: 'true or false' }[fact.type],
      fact.optional ? 'yes' : 'no',
      fact.summary,
    ]);
  return table(['fact', 'type', 'may be missing', 'what it is'], rows).join('\n');
};

export const routeReference = (): string =>
  table(
    ['', 'path', 'who', 'what'],
    ROUTES.map(({ method, path, role, summary }) => [method, code(path), role, summary]),
  ).join('\n');

export const codeReference = (): string =>
  CODE_SECTIONS.flatMap(({ title, codes }) => [
    `### ${title}`,
    '',
    ...table(
      ['code', 'cause', 'mend'],
      [...codes]
        .toSorted(([left], [right]) => (left < right ? -1 : 1))
        .map(([name, { cause, mend }]) => [code(name), cause, mend]),
    ),
    '',
  ])
    .join('\n')
    .trimEnd();

type Summarised = { readonly summary: string };

/** `folder` is src/cli: a command is a file there. */
export const commandReference = async (folder: URL): Promise<string> => {
  const files = (await readdir(folder)).filter((name) => /^[a-z-]+\.ts$/.test(name)).toSorted();
  const rows: string[][] = [];
  for (const file of files) {
    const { command } = (await import(new URL(file, folder).href)) as { command: Summarised };
    rows.push([code(file.replace('.ts', '')), command.summary]);
  }
  return table(['command', 'what it does'], rows).join('\n');
};
