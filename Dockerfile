# One image for all services: code server, web server, daemon, metrics and the command line.
FROM python:3.11-slim-bookworm AS build

WORKDIR /app
COPY constraints.txt setup.cfg pyproject.toml README.md ./
COPY analytics_assets analytics_assets
# Where packages come from is the business of pip's own configuration.
RUN python -m venv /opt/analytics \
    && /opt/analytics/bin/pip install --no-cache-dir --constraint constraints.txt setuptools \
    && /opt/analytics/bin/pip install --no-cache-dir --constraint constraints.txt \
        --no-build-isolation --editable '.[excel,features,metrics,mysql,postgres,production,s3,slack]' \
    && /opt/analytics/bin/python -m compileall -q analytics_assets


FROM python:3.11-slim-bookworm

# A user of its own, without a shell; its number is the one of files in the volume.
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin analytics \
    && install -d -o analytics -g analytics /var/lib/analytics /etc/analytics
COPY --from=build /opt/analytics /opt/analytics
COPY --from=build /app /app
COPY dbt_project /app/dbt_project
COPY deploy/workspace.yaml /app/deploy/workspace.yaml

ENV PATH=/opt/analytics/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    ANALYTICS_HOME=/var/lib/analytics \
    DAGSTER_HOME=/var/lib/analytics/dagster

USER 10001
WORKDIR /app
VOLUME /var/lib/analytics
EXPOSE 3000 4000 9187

# The code server; deploy/compose.yaml has the commands and health checks of the others.
CMD ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", "4000", "-m", "analytics_assets.definitions", "--log-format", "json"]
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
    CMD ["dagster", "api", "grpc-health-check", "-p", "4000"]
