# Trainings on Kubernetes and Vertex AI: python -m trainer.task, with CUDA's libraries.
#   docker build --file deploy/training/trainer.Dockerfile --tag TRAINER .
# With --build-arg EXTRAS=tune they stay away, for clusters without GPUs.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

ARG EXTRAS=gpu,tune
WORKDIR /opt/digitmill
COPY constraints.txt LICENSE README.md pyproject.toml setup.py ./
COPY digitmill digitmill
COPY pipelines pipelines
COPY schemas schemas
COPY trainer trainer
RUN pip install --no-cache-dir --constraint constraints.txt ".[$EXTRAS]"
RUN python -m trainer.task --help > /dev/null
ENTRYPOINT ["python", "-m", "trainer.task"]
