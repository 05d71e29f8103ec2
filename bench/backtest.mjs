// `amends backtest` over a busy month, as a terminal runs it: how long, how much memory, the same bytes twice, whether ten
// times as much costs ten times as much, and what it costs to compare with another cap (--against).
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../scripts/setup.mjs';
import { rounded, say } from './amends.mjs';
import { writeConfiguration, writeJournal } from './month.mjs';

const goals = { seconds: 60, peak_mb: 512, growth: 1.5, against_times: 2.2 };
/** The kernel's own high-water mark; the last look may miss what was asked for in the last moment. */
const LOOK_EVERY_MS = 100;

export async function measure({ deliveries = 100_000 }) {
  const folder = mkdtempSync(join(tmpdir(), 'amends-bench-'));
  try {
    writeConfiguration(folder);
    const small = join(folder, 'small.ndjson');
    const large = join(folder, 'large.ndjson');
    await writeJournal(small, { deliveries: deliveries / 10, days: 3 });
    const written = await writeJournal(large, { deliveries });
    say(JSON.stringify(written));
    const tenth = await backtest(folder, small);
    say(`a tenth: ${rounded(tenth.seconds, 1)} s`);
    const first = await backtest(folder, large);
    say(`once: ${rounded(first.seconds, 1)} s, ${first.peakMb} MB`);
    const second = await backtest(folder, large);
    const other = join(folder, 'other');
    writeConfiguration(other, { cap: 2 });
    const against = await backtest(folder, large, `--against=${other}`);
    say(`against another cap: ${rounded(against.seconds, 1)} s, ${against.peakMb} MB`);
    const againstTimes = against.cpuS / first.cpuS;
    const growth = first.cpuS / (10 * tenth.cpuS);
    const same = first.sha256 === second.sha256;
    const { decisions, runs } = first.summary;
    return {
      bench: 'backtest',
      ...written,
      decisions,
      runs: runs.reduce((sum, { count }) => sum + count, 0),
      seconds: rounded(first.seconds, 1),
      cpu_s: rounded(first.cpuS, 1),
      us_per_delivery: Math.round((first.seconds * 1e6) / deliveries),
      peak_mb: Math.max(first.peakMb, second.peakMb),
      growth: rounded(growth),
      against_seconds: rounded(against.seconds, 1),
      against_peak_mb: against.peakMb,
      against_times: rounded(againstTimes),
      against_differences: against.differences,
      same_bytes_twice: same,
      goals,
      pass:
        first.seconds < goals.seconds &&
        Math.max(first.peakMb, against.peakMb) < goals.peak_mb &&
        growth < goals.growth &&
        againstTimes < goals.against_times &&
        same,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function backtest(folder, journal, ...more) {
  const began = performance.now();
  const args = [
    'backtest',
    `--config.file=${join(folder, 'amends.yaml')}`,
    `--from=${journal}`,
    '--output=json',
    ...more,
  ];
  const child = spawn(process.execPath, [join(root, 'bin/amends'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  let used = { peakMb: 0, cpuS: 0 };
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err = `${err}${chunk}`.slice(-4_096)));
  const looking = setInterval(() => (used = usedBy(child.pid) ?? used), LOOK_EVERY_MS);
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearInterval(looking);
  if (code !== 0) throw new Error(`amends backtest ended with ${code}:\n${err}`);
  const said = JSON.parse(out);
  const sha256 = createHash('sha256').update(out).digest('hex');
  return {
    ...used,
    seconds: (performance.now() - began) / 1_000,
    sha256,
    summary: said.summary,
    differences: said.differences.length,
  };
}

/** Of a process: the most memory it ever had, what lies in shared memory with it, and its processor time. */
function usedBy(pid) {
  try {
    const peakKb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    // On its way out it has none any more.
    if (!Number.isFinite(peakKb)) return null;
    const [, , ...fields] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(/ (?![^(]*\))/);
    return { peakMb: Math.round(peakKb / 1_024), cpuS: (Number(fields[11]) + Number(fields[12])) / 100 };
  } catch {
    return null;
  }
}
