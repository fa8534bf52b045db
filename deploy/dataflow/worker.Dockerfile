# Dataflow's workers: digitmill and what scoring imports, nothing else.
#   docker build --file deploy/dataflow/worker.Dockerfile --tag WORKER .
# With --build-arg ENGINE=saved_model TensorFlow comes along, for GPU workers.
ARG BEAM=2.77.0
ARG PYTHON=3.11
FROM apache/beam_python${PYTHON}_sdk:${BEAM}

ARG ENGINE=litert
WORKDIR /opt/digitmill
COPY constraints.txt deploy/dataflow/worker-requirements.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement worker-requirements.txt
RUN if [ "$ENGINE" = saved_model ]; then pip install --no-cache-dir --constraint constraints.txt tensorflow; fi

COPY LICENSE README.md pyproject.toml setup.py ./
COPY digitmill digitmill
COPY pipelines pipelines
COPY schemas schemas
COPY trainer trainer
# Not its dependencies: they would bring TensorFlow.
RUN pip install --no-cache-dir --no-deps .
RUN python -c "import pipelines.score.transforms, digitmill.engines.engine"
