// All dashboards on one page that needs nothing but itself: no script, no style and no picture from elsewhere.
import { dataOf, marksOf, stepOf } from './data.mjs';
import { drawn, escaped } from './draw.mjs';

const COLUMN = 60;
const ROW = 38;
const GAP = 8;
const HEAD = 34;
const LEGEND = 26;

const STYLE = `
body { margin: 0; background: #111217; color: #ccccdc; font: 13px/1.4 "DejaVu Sans", Inter, sans-serif; }
main { position: relative; width: ${24 * COLUMN}px; margin: 0 auto 40px; }
h1 { font-size: 20px; font-weight: 500; width: ${24 * COLUMN}px; margin: 24px auto 4px; }
h1 + p { width: ${24 * COLUMN}px; margin: 0 auto 12px; color: #8e8e9c; }
h2 { position: absolute; margin: 0; font-size: 15px; font-weight: 500; left: 4px; line-height: ${ROW}px; }
section { position: absolute; box-sizing: border-box; background: #181b1f; border: 1px solid #25272c; border-radius: 2px; overflow: hidden; }
section > h3 { margin: 0; padding: 6px 10px; height: ${HEAD - 14}px; font-size: 13px; font-weight: 500; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.stats { display: flex; gap: 8px; height: calc(100% - ${HEAD}px); align-items: center; justify-content: space-around; flex-wrap: wrap; overflow: hidden; }
.stat { text-align: center; } .stat b { display: block; font-size: 26px; font-weight: 500; } .stat .of { color: #8e8e9c; }
.bars, .rows { border-collapse: collapse; width: calc(100% - 20px); margin: 0 10px; }
.bars th { text-align: right; font-weight: 400; padding: 3px 8px; white-space: nowrap; width: 1%; }
.bars td { padding: 3px 4px; white-space: nowrap; width: 1%; } .bars .track { width: auto; background: #22252b; padding: 0; } .bars i { display: block; height: 16px; }
.rows th { text-align: left; color: #8ab8ff; font-weight: 500; padding: 4px 8px; } .rows td { padding: 4px 8px; border-top: 1px solid #25272c; } .rows .figure { text-align: right; }
svg { display: block; } .grid { stroke: #2c3035; } .mark { stroke: #5794f2; stroke-dasharray: 2 3; }
text { fill: #8e8e9c; font-size: 11px; } .axis { text-anchor: end; } .time { text-anchor: middle; } .lane { fill: #fff; }
.legend { list-style: none; margin: 0; padding: 2px 10px; display: flex; gap: 12px; overflow: hidden; height: ${LEGEND - 6}px; flex-wrap: wrap; }
.legend i { display: inline-block; width: 12px; height: 3px; margin-right: 5px; vertical-align: middle; }
.none { text-align: center; color: #f2495c; font-size: 18px; }
`;

const panelHtml = async (prometheus, panel, span, marks) => {
  const { x, y, w, h } = panel.gridPos;
  const width = w * COLUMN - GAP;
  const height = h * ROW - GAP;
  const series = await dataOf(prometheus, panel, span);
  const place = { span, step: stepOf(span, w * 40), marks, width: width - 2, height: height - HEAD - LEGEND - 2 };
  const box = `left:${x * COLUMN}px;top:${y * ROW}px;width:${width}px;height:${height}px`;
  return `<section id="panel-${panel.board}-${panel.id}" data-type="${panel.type}" data-series="${series.length}" style="${box}" title="${escaped(panel.description)}"><h3>${escaped(panel.title)}</h3>${drawn(panel, series, place)}</section>`;
};

const boardHtml = async (prometheus, board, span) => {
  const marks = await marksOf(prometheus, board, span);
  const parts = [];
  for (const panel of board.panels) {
    const row = `<h2 style="top:${panel.gridPos.y * ROW}px">${escaped(panel.title)}</h2>`;
    parts.push(panel.type === 'row' ? row : await panelHtml(prometheus, { ...panel, board: board.uid }, span, marks));
  }
  const height = Math.max(...board.panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * ROW;
  return `<h1 id="${board.uid}">${escaped(board.title)}</h1><p>${escaped(board.description)}</p><main style="height:${height}px">${parts.join('\n')}</main>`;
};

/** The page, from what this Prometheus knows of the span. */
export const previewPage = async (prometheus, boards, span) => {
  const parts = [];
  for (const board of boards) parts.push(await boardHtml(prometheus, board, span));
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Dashboards of amends</title><style>${STYLE}</style></head>
<body>
${parts.join('\n')}
</body>
</html>
`;
};
