// Whether something is known to be limited already.
import { z } from 'zod';
import type { Fact } from '../port/fact.ts';

const params = z.strictObject({ mode: z.string().min(1).optional() });

const fact: Fact = {
  summary: 'Whether the degraded mode named by the param mode is on; without it, whether any is.',
  type: 'boolean',
  optional: false,
  params,
  value: ({ snapshot }, given) => {
    const { mode } = params.parse(given);
    return mode === undefined ? snapshot.degraded.length > 0 : snapshot.degraded.includes(mode);
  },
};

export default fact;
