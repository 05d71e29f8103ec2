import stub from './index.cjs';

export const { JSONPath } = stub;
