# Production image: compiled JavaScript on Node 24, without development and platform packages.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# With optional packages: the compiler is one of them.
RUN npm ci
COPY . .
RUN npm run build

FROM node:24-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional && npm cache clean --force
COPY --from=build /app/dist ./dist
COPY bin ./bin
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 9030 8030
# Reached from outside the container: docker run -e THERMOCLINE_INITIAL_ROOT_PASSWORD=... IMAGE
#   serve --data-dir /data --host 0.0.0.0
# Without a password root is accepted from inside the container only, and other addresses are refused.
ENTRYPOINT ["node", "bin/thermocline.js"]
CMD ["serve", "--data-dir", "/data"]
