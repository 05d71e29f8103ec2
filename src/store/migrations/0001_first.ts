// The first schema. Partial indexes repeat, word for word, the literals of the queries they serve: SQLite uses one only
// when it can see that from the text.

const settling = `state = 'done' and outcome = 'resolved' and settle_until is not null and settle_ended = 0`;

const appendOnly = (table: string): readonly string[] => [
  `create trigger ${table}_no_update before update on ${table} begin select raise(abort, '${table} is append-only'); end`,
  `create trigger ${table}_no_delete before delete on ${table} begin select raise(abort, '${table} is append-only'); end`,
];

export const first = {
  version: 1,
  sqlite: [
    `create table controls (
      id integer primary key check (id = 1),
      halt_on integer not null default 0, halt_by text not null default '', halt_reason text not null default '',
      halt_at integer not null default 0, halt_until integer, halt_hard integer not null default 0, halt_spans text not null default '[]',
      highest_now integer not null default 0, empty_history_until integer, clock_suspect_until integer
    ) strict`,
    `insert into controls (id) values (1)`,

    `create table deliveries (
      id text primary key, at integer not null, source text not null, body blob not null,
      group_size integer not null, truncated_alerts integer not null, unknown_fields integer not null
    ) strict`,
    `create index deliveries_at on deliveries (at)`,

    `create table episodes (
      id text primary key, key text not null, source text not null, state text not null,
      component text, kind text, target text, labels text not null, annotations text not null,
      starts_at integer not null, opened_at integer not null, last_firing_at integer not null,
      resolved_at integer, closed_at integer, firings integer not null,
      had_run integer not null default 0, exhausted integer not null default 0,
      next_evaluation_at integer, backoff integer not null default 0, catalog_digest text
    ) strict`,
    `create unique index episodes_open on episodes (key) where state <> 'closed'`,
    `create index episodes_open_component on episodes (component) where state <> 'closed'`,
    `create index episodes_firing on episodes (component, target) where state = 'firing'`,
    `create index episodes_due on episodes (next_evaluation_at) where state = 'firing' and next_evaluation_at is not null`,
    `create index episodes_opened on episodes (opened_at, id)`,
    `create index episodes_component on episodes (component, opened_at, id)`,

    `create table alerts (
      seq integer primary key autoincrement, id text not null unique,
      delivery_id text not null references deliveries (id), entry_index integer not null, at integer not null,
      status text, episode_id text references episodes (id), change text not null, decided integer not null
    ) strict`,
    `create index alerts_undecided on alerts (seq) where decided = 0`,
    `create index alerts_delivery on alerts (delivery_id)`,
    `create index alerts_at on alerts (at, id)`,
    `create index alerts_episode on alerts (episode_id, at, id) where episode_id is not null`,

    `create table decisions (
      id text primary key, at integer not null, origin text not null, reason text not null, caller text,
      alert_id text, delivery_id text, episode_id text, component text, target text, rule text, strategy text,
      run_id text, record text not null
    ) strict`,
    `create unique index decisions_delivery on decisions (alert_id) where origin = 'delivery'`,
    `create index decisions_alert on decisions (alert_id) where alert_id is not null and origin <> 'delivery'`,
    `create index decisions_at on decisions (at, id)`,
    `create index decisions_reason on decisions (reason, at, id)`,
    `create index decisions_component on decisions (component, at, id) where component is not null`,
    `create index decisions_rule on decisions (rule, at, id) where rule is not null`,
    `create index decisions_episode on decisions (episode_id, at, id) where episode_id is not null`,
    `create index decisions_run on decisions (run_id) where run_id is not null`,
    `create trigger decisions_no_update before update on decisions begin select raise(abort, 'decisions never change'); end`,

    `create table components (name text primary key, version integer not null) strict, without rowid`,
    `create table disabled (
      scope text not null, name text not null, until integer, by text not null, reason text not null, since integer not null,
      primary key (scope, name)
    ) strict, without rowid`,

    `create table breakers (component text not null, strategy text not null, closed_at integer not null, primary key (component, strategy)) strict, without rowid`,
    `create table demotions (rule text primary key, mode text not null, until integer, reason text not null, since integer not null) strict, without rowid`,

    `create table attempts (
      id text primary key, ledger text not null, run_id text, episode_id text,
      component text not null, kind text not null, target text not null, strategy text not null, rule text, rung integer not null,
      at integer not null, ended_at integer, outcome text, cause text, released_at integer, domain text
    ) strict`,
    `create index attempts_component on attempts (component, ledger, at)`,
    `create index attempts_ended on attempts (component, ledger, ended_at)`,
    `create index attempts_target on attempts (component, ledger, target, ended_at)`,
    `create index attempts_strategy on attempts (component, strategy, ledger, ended_at)`,
    `create index attempts_ledger on attempts (ledger, released_at, at)`,
    `create index attempts_episode on attempts (episode_id, ledger, at) where episode_id is not null`,
    `create index attempts_run on attempts (run_id) where run_id is not null`,

    `create table runs (
      id text primary key, decision_id text not null, episode_id text,
      component text not null, kind text not null, target text not null, strategy text not null, rule text,
      state text not null, outcome text, cause text,
      created_at integer not null, not_before integer not null, started_at integer, first_step_at integer,
      verified_at integer, ended_at integer, settle_until integer, settle_ended integer not null default 0,
      alert_started_at integer, recoveries integer not null default 0,
      lease_owner text, lease_until integer, fence integer not null default 0, plan text not null
    ) strict`,
    `create index runs_active on runs (created_at, id) where state <> 'done'`,
    `create index runs_active_episode on runs (episode_id) where state <> 'done'`,
    `create index runs_stuck on runs (kind, target) where outcome = 'stuck'`,
    `create index runs_settling on runs (target, kind, settle_until) where ${settling}`,
    `create index runs_settling_episode on runs (episode_id) where ${settling}`,
    `create index runs_settled on runs (settle_until) where ${settling}`,
    `create index runs_created on runs (created_at, id)`,
    `create index runs_component on runs (component, created_at, id)`,
    `create index runs_episode on runs (episode_id, created_at, id) where episode_id is not null`,
    `create index runs_decision on runs (decision_id)`,

    `create table run_events (
      run_id text not null references runs (id), seq integer not null, at integer not null, type text not null, event text not null,
      primary key (run_id, seq)
    ) strict, without rowid`,
    ...appendOnly('run_events'),

    `create table degraded (
      mode text not null, component text not null, target text not null, run_id text, since integer not null,
      primary key (mode, component, target)
    ) strict, without rowid`,

    `create table inbox (
      id text primary key, at integer not null, kind text not null, status text not null, dedup text, severity text,
      component text, target text, run_id text, episode_id text, title text not null, body text not null,
      count integer not null, closed_at integer, closed_by text, comment text
    ) strict`,
    `create unique index inbox_dedup on inbox (dedup) where status = 'open' and dedup is not null`,
    `create index inbox_open_run on inbox (run_id, kind) where status = 'open'`,
    `create index inbox_at on inbox (at, id)`,
    `create index inbox_status on inbox (status, at, id)`,

    `create table outbox (
      seq integer primary key autoincrement, id text not null unique, at integer not null, topic text not null, receiver text,
      severity text, component text, target text, run_id text, title text not null, body text not null,
      status text not null, tries integer not null, next_at integer not null, error text
    ) strict`,
    `create index outbox_due on outbox (seq, next_at) where status = 'pending'`,
    `create index outbox_run on outbox (run_id, seq) where status = 'pending'`,
    `create index outbox_at on outbox (at, id)`,

    `create table audit (
      seq integer primary key, at integer not null, actor text not null, action text not null, subject text not null,
      detail text not null, prev text not null, hash text not null
    ) strict`,
    `create index audit_at on audit (at, seq)`,
    ...appendOnly('audit'),
    // An INSERT OR REPLACE deletes without the trigger above.
    `create trigger audit_in_order before insert on audit when new.seq <> coalesce((select max(seq) from audit), 0) + 1
      begin select raise(abort, 'audit is append-only'); end`,
  ],
} as const;
