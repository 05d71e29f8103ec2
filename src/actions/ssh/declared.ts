// What may run on a far host: commands that the component declares by name, with their arguments checked by pattern and
// quoted for the far shell. There is no way to run anything else.
import { RE2JS } from 're2js';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';

const PLACEHOLDER = /\{([a-z][a-z0-9_]{0,31})\}/g;
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/;
const LONGEST_LINE = 32_768;

const plain = z
  .string()
  .min(1)
  .max(4_096)
  .refine((word) => !CONTROL.test(word), { message: 'holds control characters' });

const pattern = z
  .string()
  .min(1)
  .max(512)
  .refine(
    (text) => {
      try {
        RE2JS.compile(text);
        return true;
      } catch {
        return false;
      }
    },
    { message: 'not a regular expression (RE2)' },
  );

const declaration = z.strictObject({
  /** The far executable and its arguments; `{name}` stands for an argument. */
  argv: z.array(plain).min(1).max(64),
  /** Of each argument, the pattern (RE2) that its whole value has to match. */
  arguments: z.record(z.string().regex(/^[a-z][a-z0-9_]{0,31}$/), z.strictObject({ pattern })).default({}),
  /** It only looks, so that ssh.look may run it: in evidence, probes and verifications. */
  reads: z.boolean().default(false),
  /** Exit codes that count as success. */
  expect: z.array(z.int().min(0).max(255)).min(1).max(20).default([0]),
});

export const declaredInput = {
  /** By name, from the component: `commands: ${{ connect.commands }}`. */
  commands: z
    .record(z.string().regex(/^[a-z][a-z0-9_-]{0,63}$/, { message: 'the name of a command' }), declaration)
    .refine((commands) => Object.keys(commands).length > 0, { message: 'no command is declared' }),
  command: z.string().regex(/^[a-z][a-z0-9_-]{0,63}$/, { message: 'the name of a command' }),
  arguments: z.record(z.string().max(64), z.union([z.string().max(4_096), z.number()])).default({}),
};

type Declared = {
  readonly commands: Readonly<Record<string, z.output<typeof declaration>>>;
  readonly command: string;
  readonly arguments: Readonly<Record<string, string | number>>;
};
export type Line = { readonly line: string; readonly expect: readonly number[] };

/** One word for a POSIX shell, whatever is in it. */
const quote = (word: string): string =>
  /^[A-Za-z0-9_./:=,+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** Throws `permanent`, before anything is sent, for whatever is not exactly as declared. */
export const farLine = (input: Declared, onlyReading: boolean): Line => {
  const refuse = (why: string): never => {
    throw new ActionError('permanent', `${input.command} was not sent: ${why}`);
  };
  const found = Object.hasOwn(input.commands, input.command) ? input.commands[input.command] : undefined;
  if (found === undefined)
    return refuse(`connect.commands declares ${Object.keys(input.commands).join(', ')}, but not ${input.command}`);
  if (onlyReading && !found.reads)
    refuse(
      'it is not declared with `reads: true`, and this step only looks; mend: use ssh.run, or say so if it only looks',
    );
  const values = new Map(Object.entries(input.arguments).map(([name, value]) => [name, String(value)]));
  for (const name of values.keys())
    if (!Object.hasOwn(found.arguments, name)) refuse(`it declares no argument ${name}`);
  for (const [name, { pattern: text }] of Object.entries(found.arguments)) {
    const value = values.get(name);
    if (value === undefined) return refuse(`its argument ${name} is missing`);
    if (CONTROL.test(value)) refuse(`its argument ${name} holds control characters`);
    if (!RE2JS.compile(text).matches(value))
      refuse(`its argument ${name} does not match ${text}: ${JSON.stringify(value.slice(0, 100))}`);
  }
  const words = found.argv.map((word) => {
    const filled = word.replaceAll(PLACEHOLDER, (whole: string, name: string) => values.get(name) ?? whole);
    if (filled !== word && filled.startsWith('-') && !word.startsWith('-'))
      refuse(`an argument would be taken for an option: ${filled.slice(0, 100)}`);
    return quote(filled);
  });
  const line = words.join(' ');
  if (line.length > LONGEST_LINE) refuse('its command line is too long');
  return { line, expect: found.expect };
};
