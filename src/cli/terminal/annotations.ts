// Problems as GitHub Actions takes them: workflow commands that annotate the lines of a pull request.
import type { Problem } from '../../base/failure.ts';

/** One line a problem. `file` of each is relative to the repository. */
export const annotation = ({ code, severity, message, mend, file, line, column }: Problem): string => {
  const properties = [
    ['file', file],
    ['line', line],
    ['col', column],
    ['title', `amends ${code}`],
  ].flatMap(([name, value]) => (value === undefined ? [] : [`${String(name)}=${escapedProperty(String(value))}`]));
  const text = mend === undefined ? message : `${message}\nmend: ${mend}`;
  return `::${severity ?? 'error'} ${properties.join(',')}::${escaped(text)}`;
};

/** A line end would begin another command. */
const escaped = (text: string): string => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const escapedProperty = (text: string): string => escaped(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
