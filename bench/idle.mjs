// What amends takes when nothing happens, with the shipped configuration: memory and processor time of the process and
// all its children, and how long it takes from start to ready.
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { median, rounded, say, startAmends } from './amends.mjs';

const goals = { memory_mb: 120, cpu_percent: 0.5, ready_ms: 1_000 };
/** Linux counts processor time in hundredths of a second. */
const ticksPerSecond = 100;

export async function measure({ seconds = 30, starts = 5 }) {
  const ready = [];
  for (let start = 1; start < starts; start += 1) {
    const amends = await startAmends({});
    ready.push(amends.readyMs);
    await amends.stop();
  }
  const amends = await startAmends({});
  ready.push(amends.readyMs);
  say(
    `ready after ${ready.map((ms) => Math.round(ms)).join(', ')} ms; settling for 20 s, then watching for ${seconds} s`,
  );
  try {
    // V8 collects what the start left, once, up to some 17 s later.
    await sleep(20_000);
    const before = processorTicks(amends.pid);
    await sleep(seconds * 1_000);
    const cpu = ((processorTicks(amends.pid) - before) / ticksPerSecond / seconds) * 100;
    const memory = tree(amends.pid).reduce((sum, pid) => sum + residentKiB(pid), 0) / 1024;
    const result = { ready_ms: Math.round(median(ready)), memory_mb: rounded(memory, 1), cpu_percent: rounded(cpu) };
    const pass = Object.keys(goals).every((name) => result[name] < goals[name]);
    return { bench: 'idle', seconds, ...result, processes: tree(amends.pid).length, goals, pass };
  } finally {
    await amends.stop();
  }
}

const statOf = (pid) => {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name may hold spaces and brackets; what follows the last bracket does not.
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
};

function tree(pid) {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return Number(statOf(name)[1]) === pid;
      } catch {
        return false;
      }
    });
  return [pid, ...children.flatMap((child) => tree(Number(child)))];
}

const processorTicks = (pid) =>
  tree(pid).reduce((sum, each) => sum + Number(statOf(each)[11]) + Number(statOf(each)[12]), 0);
const residentKiB = (pid) => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
