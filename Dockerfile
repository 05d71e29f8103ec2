# syntax=docker/dockerfile:1

# Build: the same steps as on any machine (npm ci, npm run build), then without what only they need.
FROM node:24-bookworm-slim AS build
WORKDIR /app
# better-sqlite3 compiles where no ready binary fits.
RUN apt-get update \
  && apt-get install -y --no-install-recommends g++ make python3 \
  && rm -rf /var/lib/apt/lists/*
COPY package.json package-lock.json .npmrc ./
COPY vendor vendor
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
COPY scripts scripts
RUN npm run build
RUN npm prune --omit=dev

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
RUN groupadd --system --gid 10001 amends \
  && useradd --system --uid 10001 --gid amends --home-dir /data --shell /usr/sbin/nologin amends \
  && install --directory --owner=amends --group=amends /data
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/bundle bundle
COPY package.json LICENSE ./
COPY vendor vendor
COPY bin bin
COPY docs/alerts.md docs/alerts.md
COPY schemas schemas
COPY rules rules
COPY runbooks runbooks
COPY alerts alerts
COPY amends.yaml ./
USER amends
VOLUME /data
EXPOSE 9193
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9193/-/healthy').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Without credentials (--web.config.file) amends listens on loopback alone: use --network=host, or mount a web.yaml and
# add --web.listen-address=0.0.0.0:9193.
ENTRYPOINT ["node", "bin/amends"]
CMD ["serve", "--config.file=/app/amends.yaml", "--storage.path=/data"]
