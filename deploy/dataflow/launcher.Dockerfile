# The Flex Template's launcher: lists, makes the job's graph and hands it over. It needs reports' libraries, too.
#   docker build --file deploy/dataflow/launcher.Dockerfile --build-arg WORKER=WORKER --tag LAUNCHER .
ARG WORKER
ARG LAUNCHER=gcr.io/dataflow-templates-base/python311-template-launcher-base:20240812-rc01
FROM ${LAUNCHER} AS launcher

FROM ${WORKER}
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher

COPY deploy/locks/launcher.txt ./
RUN pip install --no-cache-dir --no-deps --no-build-isolation --require-hashes --requirement launcher.txt
COPY deploy/dataflow/launch.py ./
RUN python -c "import pipelines.score.score_job"

# Jobs run in the image that this one was made from, unless they name another.
ARG WORKER
ENV DIGITMILL_WORKER_IMAGE=${WORKER}
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/digitmill/launch.py
# Root, as the worker's image says.
USER 0
ENTRYPOINT ["/opt/google/dataflow/python_template_launcher"]
