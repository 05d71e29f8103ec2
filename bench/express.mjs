// What amends is held against: bare express with its JSON parser, that keeps nothing. Prints its port.
import express from 'express';

const app = express();
app.use(express.json({ limit: '32mb' }));
app.post('/webhook/alertmanager', (_request, response) => {
  response.status(202).json({ accepted: true });
});
const server = app.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
process.stdin.on('end', () => process.exit(0)).resume();
