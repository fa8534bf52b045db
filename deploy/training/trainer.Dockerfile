# Trainings on Kubernetes and Vertex AI: python -m trainer.task, with CUDA's libraries.
#   docker build --file deploy/training/trainer.Dockerfile --tag TRAINER .
# With --build-arg CUDA= they stay away, for clusters without GPUs.
ARG BASE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
FROM ${BASE}

ARG CUDA=yes
WORKDIR /opt/digitmill
COPY deploy/locks/build.txt deploy/locks/all.txt deploy/locks/cuda.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement build.txt
RUN pip install --no-cache-dir --no-deps --no-build-isolation --require-hashes --requirement all.txt
RUN if [ -n "$CUDA" ]; then \
      pip install --no-cache-dir --no-deps --no-build-isolation --require-hashes --requirement cuda.txt; \
    fi

COPY LICENSE NOTICE README.md pyproject.toml setup.py ./
COPY digitmill digitmill
COPY pipelines pipelines
COPY schemas schemas
COPY trainer trainer
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
RUN python -m trainer.task --help > /dev/null

# Volumes for checkpoints must let this user write: Kubernetes' fsGroup, or a folder of its own.
ENV HOME=/tmp
USER 10001
ENTRYPOINT ["python", "-m", "trainer.task"]
