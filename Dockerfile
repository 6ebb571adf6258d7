# The auditor, the dashboard and the demo in one image; compose.yaml says how they run.
FROM python:3.11-slim AS build

# The drivers; leave out what your map does not use.
ARG EXTRAS=apprise,jwt,kafka,login,mariadb,mongodb,mysql,nats,phone,postgresql,pubsub,redis,salesforce,servicebus,slack,sqs

WORKDIR /src
COPY pyproject.toml requirements.txt constraints.txt README.md LICENSE ./
COPY probes probes
COPY checks checks
COPY auditor auditor
COPY demo demo
RUN python -m venv /opt/plumbline \
 && /opt/plumbline/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".[${EXTRAS}]"

FROM python:3.11-slim

RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/plumbline --shell /usr/sbin/nologin plumbline \
 && install --directory --mode 0700 --owner plumbline --group plumbline /var/lib/plumbline
COPY --from=build /opt/plumbline /opt/plumbline

# Nothing is written but /var/lib/plumbline and /tmp.
ENV PATH=/opt/plumbline/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    AUDITOR_MAP=/config/plumbline.yaml \
    AUDITOR_DATA=/var/lib/plumbline

USER 10001:10001
WORKDIR /var/lib/plumbline
VOLUME /var/lib/plumbline
ENTRYPOINT ["auditor"]
CMD ["--help"]
