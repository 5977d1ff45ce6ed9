# Small: the packages of the server and its source, which Node.js runs as it is.
FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
COPY server/package.json server/
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8787 DRAMATIS_DATA_DIR=/data
WORKDIR /app
COPY package.json LICENSE ./
COPY server/package.json server/
COPY server/bin server/bin
COPY server/src server/src
COPY --from=packages /app/node_modules node_modules
RUN mkdir --mode=0700 /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8787
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["node", "server/bin/dramatis.js", "health"]
ENTRYPOINT ["node", "server/bin/dramatis.js"]
CMD ["start"]
