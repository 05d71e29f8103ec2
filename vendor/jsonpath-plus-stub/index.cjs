'use strict';

// json-rules-engine calls JSONPath for a condition's `path`. No rule of ours has one (the loader refuses it) and the
// engine gets a resolver of ours; should both fail, this throws rather than evaluate anything.
exports.JSONPath = function JSONPath() {
  throw new Error('jsonpath is not available in amends rules');
};
