# Scores a night: digitmill, what scoring and its reports import, and .ci/score-night. No TensorFlow, no tests' tools.
#   docker build --file deploy/nightly/scorer.Dockerfile --tag SCORER .
#   docker run --env INPUT=gs://… --env MODEL=gs://… --env NIGHTS=gs://… SCORER
ARG BASE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
FROM ${BASE}

WORKDIR /opt/digitmill
COPY deploy/locks/build.txt deploy/locks/launcher.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement build.txt
RUN pip install --no-cache-dir --no-deps --no-build-isolation --require-hashes --requirement launcher.txt

COPY LICENSE NOTICE README.md pyproject.toml setup.py ./
COPY digitmill digitmill
COPY pipelines pipelines
COPY schemas schemas
COPY trainer trainer
# Not its dependencies: they would bring TensorFlow.
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
COPY .ci .ci
RUN digitmill score --help > /dev/null

# .ci/command then installs nothing.
ENV DIGITMILL=digitmill
# Cloud Build sets a HOME that is root's.
ENV HOME=/tmp MPLCONFIGDIR=/tmp
USER 10001
ENTRYPOINT ["bash", "/opt/digitmill/.ci/score-night"]
