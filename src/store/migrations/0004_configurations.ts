// What was active when: each configuration with its files, each text once. A journal is decided again from them.

export const configurations = {
  version: 4,
  sqlite: [
    `create table configurations (
      id integer primary key autoincrement, at integer not null, catalog text not null, config text not null,
      revision text, mode text not null, files text not null
    ) strict`,
    `create table configuration_files (
      configuration_id integer not null references configurations (id), place integer not null,
      kind text not null, file text not null, digest text not null,
      primary key (configuration_id, place)
    ) strict, without rowid`,
    `create index configuration_files_digest on configuration_files (digest)`,
    `create table configuration_texts (digest text primary key, text text not null) strict, without rowid`,
  ],
} as const;
