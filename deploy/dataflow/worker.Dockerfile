# Dataflow's workers: digitmill and what scoring imports, nothing else.
#   docker build --file deploy/dataflow/worker.Dockerfile --tag WORKER .
# With --build-arg ENGINE=saved_model TensorFlow and CUDA's libraries come along, for GPU workers.
ARG BEAM=2.77.0
ARG PYTHON=3.11
ARG BASE=apache/beam_python${PYTHON}_sdk:${BEAM}
FROM ${BASE}

ARG ENGINE=litert
WORKDIR /opt/digitmill
COPY deploy/locks/build.txt deploy/locks/worker.txt deploy/locks/cuda.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement build.txt
RUN pip install --no-cache-dir --no-deps --no-build-isolation --require-hashes --requirement worker.txt
RUN if [ "$ENGINE" = saved_model ]; then \
      pip install --no-cache-dir --no-deps --no-build-isolation --require-hashes --requirement cuda.txt; \
    fi

COPY LICENSE NOTICE README.md pyproject.toml setup.py ./
COPY digitmill digitmill
COPY pipelines pipelines
COPY schemas schemas
COPY trainer trainer
# Not its dependencies: they would bring TensorFlow.
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
RUN python -c "import pipelines.score.transforms, digitmill.engines.engine"

# Root, as Dataflow has it: what it mounts below /var/opt/google belongs to root, and the worker's own virtual machine
# is the boundary.
USER 0
