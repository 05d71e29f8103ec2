// An Alertmanager that says of an alert what it is told to: it fires, it is silenced, it is not there; or it does not answer.
import { createServer } from 'node:http';

/** Lists by target, as Alertmanager's GET /api/v2/alerts does; `labelsOf` gives an alert's labels. */
export const createAlertmanager = async (labelsOf) => {
  const firing = new Set();
  const silenced = new Set();
  const world = { firing, silenced, reachable: true };
  const server = createServer((request, response) => {
    if (!world.reachable) return void request.socket.destroy();
    const alerts = [...firing].map((target) => ({
      labels: labelsOf(target),
      status: silenced.has(target)
        ? { state: 'suppressed', silencedBy: [`silence-${target}`], inhibitedBy: [] }
        : { state: 'active', silencedBy: [], inhibitedBy: [] },
    }));
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(alerts));
  });
  await new Promise((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return Object.assign(world, {
    url: `http://127.0.0.1:${server.address().port}`,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => void server.close(resolve));
    },
  });
};
