import { describe, expect, it } from '@jest/globals';
import { isConstant, metricsOf } from '../../../../src/replay/findings/promql.ts';

describe('the metrics that a PromQL text asks for', () => {
  it.each([
    ['up', ['up']],
    ['sum by (job, instance) (rate(http_requests_total{code=~"5.."}[5m])) / sum(up)', ['http_requests_total', 'up']],
    ['sum(a) by (job) + on (job) group_left (env) b', ['a', 'b']],
    ['histogram_quantile(0.9, sum without (pod) (rate(x_bucket[5m] offset 1h)))', ['x_bucket']],
    ['{__name__="a", job="up"}', ['a']],
    ['{"a.b", job="x"}', ['a.b']],
    ['{job="x"} > 1', []],
    ['job:errors:rate5m > bool 0.1 unless absent(c)', ['job:errors:rate5m', 'c']],
    ['label_replace(up, "a", "$1", "b", "(.*)") # up_comment', ['up']],
    ['topk(3, quantile_over_time(0.5, y[1h:5m] @ end()))', ['y']],
    ['max_over_time(x[5m]) and y or z', ['x', 'y', 'z']],
    ['up{instance="${{ target }}"}', ['up']],
    ['sum', ['sum']],
    ['1e3 + 0x1F + Inf', []],
  ])('%s', (query, metrics) => expect(metricsOf(query)).toEqual(metrics));

  it('without a selector its value hangs on nothing', () => {
    expect(['vector(1)', '1 + 1', 'time() > 0', '""'].map(isConstant)).toEqual([true, true, true, true]);
    expect(['up', '{job="x"}', 'absent(up)'].map(isConstant)).toEqual([false, false, false]);
  });
});
