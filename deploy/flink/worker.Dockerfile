# The Python workers of a Flink task manager: Beam, digitmill, and a worker pool that starts them. No TensorFlow.
#   docker build --file deploy/flink/worker.Dockerfile --tag FLINK-WORKER .
# The launcher must run the same Python minor version, the same Beam and the same digitmill.
ARG BASE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
FROM ${BASE}

WORKDIR /opt/digitmill
COPY deploy/locks/build.txt deploy/locks/worker.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement build.txt
RUN pip install --no-cache-dir --no-deps --no-build-isolation --require-hashes --requirement worker.txt

COPY LICENSE NOTICE README.md pyproject.toml setup.py ./
COPY digitmill digitmill
COPY pipelines pipelines
COPY schemas schemas
COPY trainer trainer
# Not its dependencies: they would bring TensorFlow.
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
RUN python -c "import pipelines.score.transforms, digitmill.engines.engine"

# Flink's images run as 9999, too. Nothing is written outside of /tmp.
ENV HOME=/tmp
USER 9999
# Beam starts workers as `python` from the PATH, one process for each `sdk_worker_parallelism`.
EXPOSE 50000
ENTRYPOINT ["python", "-m", "apache_beam.runners.worker.worker_pool_main", "--service_port=50000"]
