# The Python workers of a Flink task manager: Beam, digitmill, and a worker pool that starts them.
# Build from the root of the repository: docker build -f deploy/flink/worker.Dockerfile -t REGISTRY/digitmill-worker:TAG .
# The launcher must run the same Python minor version, the same Beam and the same digitmill.
FROM python:3.11-slim

RUN useradd --create-home --uid 9999 flink
WORKDIR /opt/digitmill
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt .

USER flink
# Beam starts workers as `python` from the PATH, one process for each `sdk_worker_parallelism`.
EXPOSE 50000
ENTRYPOINT ["python", "-m", "apache_beam.runners.worker.worker_pool_main", "--service_port=50000"]
