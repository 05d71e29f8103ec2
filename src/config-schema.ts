// What may stand in amends.yaml, web.yaml and a file_sd inventory: the one source of parsing, of editors' JSON Schema
// and of the did-you-mean. Keys are as people write them; defaults are put in by config.ts.
import { z } from 'zod';
import { IGNORABLE } from './base/findings.ts';
import { formatDuration, parseDuration } from './base/duration.ts';
import { isObject } from './base/json.ts';
import { MODES } from './rule/limits.ts';

const DURATION = /^(?=.)(?:0|(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?s)?(?:\d+ms)?)$/;
const LONGEST_DURATION_MS = 10 * 366 * 86_400_000;

const refusal = (code: string, mend: string): { params: { code: string; mend: string } } => ({
  params: { code, mend },
});

/** Milliseconds from `30s`, `1h30m`, `7d`. */
export const duration = (least = 0) =>
  z
    .string({ error: 'a duration such as 30s or 1h30m is expected' })
    .regex(DURATION, { error: 'a duration such as 30s or 1h30m is expected' })
    .transform((text) => parseDuration(text) ?? Number.NaN)
    .refine((ms) => ms >= least && ms <= LONGEST_DURATION_MS, {
      error: `the duration is not between ${formatDuration(least)} and 10 years`,
      ...refusal('out-of-range', `give at least ${formatDuration(least)}`),
    });

// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/;
export const text = (most = 1_024) =>
  z
    .string()
    .min(1)
    .max(most)
    .refine((value) => !CONTROL.test(value), { error: 'control characters are not allowed' });
const name = z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/, {
  error: 'a name is letters, digits, and _ . - (at most 64), and begins with a letter or digit',
});
const kind = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, {
  error: 'a kind is lower-case letters, digits, _ and - (at most 64), since it names a folder',
});
const whole = (least: number, most: number) => z.number().int().min(least).max(most);
export const mode = z.enum(MODES as readonly ['shadow', 'approve', 'auto']);

const httpUrl = z
  .string()
  .refine((value) => /^https?:$/.test(parsedUrl(value)?.protocol ?? ''), {
    error: 'an http or https address is expected',
    ...refusal('bad-url', 'write it like http://127.0.0.1:9093'),
  })
  .refine((value) => (parsedUrl(value)?.username ?? '') === '' && (parsedUrl(value)?.password ?? '') === '', {
    error: 'credentials do not belong in an address',
    ...refusal('secret-in-file', 'remove them'),
  });
const parsedUrl = (value: string): URL | undefined => (URL.canParse(value) ? new URL(value) : undefined);

/** Where a neighbour is, and how amends shows itself to it. */
const neighbourShape = {
  url: httpUrl,
  basic_auth: z
    .strictObject({ username: text(256), password_file: text(4_096) })
    .optional()
    .meta({ description: 'The password stands in a file, read at each use.' }),
  bearer_token_file: text(4_096).optional(),
};
const onlyOneCredential = (neighbour: { readonly basic_auth?: unknown; readonly bearer_token_file?: unknown }) =>
  neighbour.basic_auth === undefined || neighbour.bearer_token_file === undefined;
const TWO_CREDENTIALS = {
  error: 'basic_auth and bearer_token_file exclude each other',
  ...refusal('two-credentials', 'leave one of them out'),
};

const limit = z.strictObject({ max: whole(0, 100_000), per: duration(1_000) });
const limits = z.array(limit).min(1).max(16);
const share = z.string().regex(/^(100|\d{1,2})%$/, { error: 'a share such as 20% is expected' });
const LONGEST_WINDOW_MS = 31 * 86_400_000;
/** Whether the schedule and the time zone can be read is said by the loader, which has the library for it. */
const maintenance = z
  .array(
    z.strictObject({
      schedule: text(256),
      timezone: text(64).optional(),
      duration: duration(1_000).refine((ms) => ms <= LONGEST_WINDOW_MS, {
        error: 'a window of more than 31 days is not maintenance',
        ...refusal('out-of-range', 'disable the component: amends disable'),
      }),
      reason: text(1_024).optional(),
    }),
  )
  .max(100);

const recoveryShape = {
  mode: mode.optional(),
  attempts: limits.optional(),
  max_attempts_per_hour: whole(0, 100_000).optional(),
  budget: limits.optional(),
  cooldown: z
    .strictObject({
      after_failure: duration().optional(),
      factor: z.number().min(1).max(100).optional(),
      max: duration().optional(),
      after_success: duration().optional(),
    })
    .optional(),
  cooldown_seconds: z.number().min(0).max(31_536_000).optional(),
  max_concurrent: whole(1, 10_000).optional(),
  max_concurrent_total: whole(1, 10_000).optional(),
  settle: duration().optional(),
  stale: duration(1_000).optional(),
  resolve_hold: duration().optional(),
  episode_ttl: duration(60_000).optional(),
  approval: z
    .strictObject({
      remind: duration().optional(),
      escalate: duration().optional(),
      expires: duration(1_000).optional(),
    })
    .optional(),
  breaker: z
    .strictObject({ failures: whole(1, 1_000).optional(), trials: z.array(duration(1_000)).min(1).max(16).optional() })
    .optional(),
  storm: z
    .strictObject({
      share: share.optional(),
      min: whole(1, 100_000).optional(),
      max: whole(1, 100_000).optional(),
      window: duration(1_000).optional(),
      components: whole(1, 100_000).optional(),
      components_window: duration(1_000).optional(),
      gather: duration().optional(),
    })
    .optional(),
  maintenance: maintenance.optional(),
  promotion: z.strictObject({ successes: whole(1, 100_000).optional(), share: share.optional() }).optional(),
};

export const recoverySchema = z.strictObject(recoveryShape);

// A connection is stored with every run: what is secret in it must be a reference.
const SECRET_KEYS = /^(password|passwd|passphrase|secret|token|bearer_token|api_key|apikey|private_key)$/i;
const SECRET_ADDRESS = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*:[^/?#@]*@/i;
const connect = z.record(z.string().min(1).max(64), z.json()).superRefine((members, context) => {
  for (const { path, ...said } of secretsIn(members, []))
    context.addIssue({ code: 'custom', path: [...path], ...said });
});

type Plain = { readonly path: ReadonlyArray<string | number>; readonly message: string } & ReturnType<typeof refusal>;

/** At any depth: all of it is stored. */
function secretsIn(value: unknown, path: Plain['path']): readonly Plain[] {
  const key = String(path.at(-1) ?? '');
  if (SECRET_KEYS.test(key))
    return [
      {
        path,
        message: `${key} would be stored in plain text`,
        ...refusal('secret-in-file', `name the file that holds it: ${key}_file`),
      },
    ];
  if (typeof value === 'string')
    return SECRET_ADDRESS.test(value)
      ? [
          {
            path,
            message: 'a password does not belong in an address',
            ...refusal('secret-in-file', 'use username and password_file'),
          },
        ]
      : [];
  if (Array.isArray(value)) return value.flatMap((member, index) => secretsIn(member, [...path, index]));
  return isObject(value) ? Object.entries(value).flatMap(([below, member]) => secretsIn(member, [...path, below])) : [];
}

const labels = z.record(text(256), z.string().max(1_024));
const targetName = text(256);
const inventory = z.strictObject({
  static: z
    .array(
      z.union([
        targetName,
        z.strictObject({ target: targetName, connect: connect.optional(), labels: labels.optional() }),
      ]),
    )
    .max(20_000)
    .optional(),
  file_sd: z.array(text()).max(100).optional(),
});

export const componentSchema = z.strictObject({
  ...recoveryShape,
  kind: kind.optional(),
  team: text(128).optional(),
  match: z.union([text(), z.array(text()).min(1).max(64)]).optional(),
  target: z
    .strictObject({ label: text(256).optional(), regex: text().optional(), replacement: text().optional() })
    .optional(),
  inventory: inventory.optional(),
  connect: connect.optional(),
  allow: z
    .strictObject({
      actions: z
        .array(
          z
            .string()
            .regex(/^[a-z0-9*][a-z0-9*.-]*$/, { error: 'an action name or a glob such as redis.* is expected' }),
        )
        .max(256),
    })
    .optional(),
  min_healthy: z.strictObject({ query: text(4_096), min: z.number() }).optional(),
  domain: text(256).optional(),
  split: z.literal('target').optional(),
  fleet: z.strictObject({ attempts: limits, max_concurrent: whole(1, 10_000) }).optional(),
});

const sentences = z.array(text()).max(100);
export const severity = z.enum(['SEV1', 'SEV2', 'SEV3', 'SEV4']);

/** amends.yaml. */
export const configSchema = z.strictObject({
  $schema: z.string().optional(),
  version: z.literal(1, { error: 'version 1 is the only one there is' }).optional(),
  rule_files: z.array(text()).max(100).optional(),
  runbook_files: z.array(text()).max(100).optional(),
  alertmanagers: z
    .array(
      z
        .strictObject({ ...neighbourShape, sources: z.array(name).min(1).max(100).optional() })
        .refine(onlyOneCredential, TWO_CREDENTIALS),
    )
    .max(16)
    .optional(),
  prometheus: z.strictObject(neighbourShape).refine(onlyOneCredential, TWO_CREDENTIALS).optional(),
  recovery: recoverySchema.optional(),
  components: z.record(name, componentSchema).optional(),
  degraded_modes: z
    .record(
      name,
      z.strictObject({
        available: sentences.optional(),
        unavailable: sentences.optional(),
        impact: z.string().max(1_024).optional(),
        notify: z.array(text()).max(20).optional(),
      }),
    )
    .optional(),
  allow: z
    .strictObject({
      hosts: z.array(text(256)).max(1_000).optional(),
      commands: z.array(absolutePath()).max(1_000).optional(),
      paths: z.array(absolutePath()).max(1_000).optional(),
      containers: z.array(text(256)).max(1_000).optional(),
    })
    .optional(),
  probes: z
    .array(
      z.strictObject({
        name,
        uses: z.string().regex(/^[a-z0-9-]+\.[a-z0-9-]+$/, { error: 'an action such as sqlite.check is expected' }),
        component: text(),
        target: targetName,
        every: duration(1_000).optional(),
        timeout: duration(10).optional(),
        with: z.record(z.string(), z.json()).optional(),
      }),
    )
    .max(1_000)
    .optional(),
  notify: z
    .strictObject({
      receivers: z
        .array(z.looseObject({ name, type: z.string().regex(/^[a-z0-9-]+$/) }).catchall(z.json()))
        .max(100)
        .optional(),
      routes: z
        .array(z.strictObject({ severity: z.array(severity).min(1).optional(), receiver: text() }))
        .max(100)
        .optional(),
      status_updates: z.strictObject({ SEV1: updates(), SEV2: updates(), SEV3: updates(), SEV4: updates() }).optional(),
    })
    .optional(),
  audit: z
    .strictObject({
      retention_days: whole(1, 36_500).optional(),
      compression_enabled: z.boolean().optional(),
      head_receiver: text().optional(),
    })
    .optional(),
  journal: z.strictObject({ retention_days: whole(1, 36_500).optional() }).optional(),
  ignore_labels: z.array(text(256)).max(64).optional(),
  ignore: z
    .array(z.strictObject({ code: z.enum(IGNORABLE.config), reason: text(500) }))
    .min(1)
    .max(20)
    .optional(),
});

/** How often a status update is due while something of this severity is open. */
function updates() {
  return z.union([z.literal('off'), duration(60_000)]).optional();
}

function absolutePath() {
  return text(4_096).refine((value) => value.startsWith('/') && !value.split('/').includes('..'), {
    error: 'an absolute path without .. is expected',
    ...refusal('bad-path', 'write the whole path'),
  });
}

export type ConfigShape = z.output<typeof configSchema>;
export type ComponentShape = z.output<typeof componentSchema>;
export type RecoveryShape = NonNullable<ConfigShape['recovery']>;

/** A Prometheus file_sd file. */
export const fileSdSchema = z
  .array(z.strictObject({ targets: z.array(targetName).max(20_000), labels: labels.optional() }))
  .max(20_000);

const role = z.enum(['viewer', 'operator', 'approver', 'admin']);

/** web.yaml: Prometheus' web configuration, bearer tokens added. */
export const webSchema = z.strictObject({
  $schema: z.string().optional(),
  tls_server_config: z
    .strictObject({
      cert_file: text(),
      key_file: text(),
      client_ca_file: text().optional(),
      client_auth_type: z.enum(['NoClientCert', 'RequireAndVerifyClientCert']).optional(),
      min_version: z.enum(['TLS12', 'TLS13']).optional(),
    })
    .optional(),
  basic_auth_users: z
    .record(text(256), z.string().regex(/^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/, { error: 'a bcrypt hash is expected' }))
    .optional(),
  roles: z.record(text(256), role).optional(),
  bearer_tokens: z
    .array(z.strictObject({ name, source: name.optional(), role: role.optional(), file: text() }))
    .max(1_000)
    .optional(),
});
