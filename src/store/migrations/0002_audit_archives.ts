// Old rows of the audit move into archive files. A seal is the key to the one door through which rows may leave the table:
// it needs a row of the chain that names the same file, digest and rows, and it opens for these rows alone.

export const auditArchives = {
  version: 2,
  sqlite: [
    `create table audit_seals (
      last_seq integer primary key, first_seq integer not null, last_hash text not null,
      file text not null unique, digest text not null, bytes integer not null, seal_seq integer not null
    ) strict`,
    `create trigger audit_seals_no_update before update on audit_seals begin select raise(abort, 'audit_seals is append-only'); end`,
    `create trigger audit_seals_no_delete before delete on audit_seals begin select raise(abort, 'audit_seals is append-only'); end`,
    `create trigger audit_seals_in_chain before insert on audit_seals
      when new.first_seq <> coalesce((select max(last_seq) from audit_seals), 0) + 1 or new.last_seq < new.first_seq
        or not exists (select 1 from audit where seq = new.last_seq and hash = new.last_hash)
        or not exists (
          select 1 from audit where seq = new.seal_seq and seq > new.last_seq and action = 'audit.sealed' and subject = new.file
            and json_extract(detail, '$.digest') = new.digest and json_extract(detail, '$.first') = new.first_seq
            and json_extract(detail, '$.last') = new.last_seq and json_extract(detail, '$.head') = new.last_hash)
      begin select raise(abort, 'a seal needs its row in the audit'); end`,
    `drop trigger audit_no_delete`,
    `create trigger audit_no_delete before delete on audit
      when old.seq > coalesce((select max(last_seq) from audit_seals), 0)
      begin select raise(abort, 'audit is append-only'); end`,
  ],
} as const;
