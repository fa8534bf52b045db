# The Flex Template's launcher: lists, makes the job's graph and hands it over. It needs reports' libraries, too.
#   docker build --file deploy/dataflow/launcher.Dockerfile --build-arg WORKER=WORKER --tag LAUNCHER .
ARG WORKER
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:latest AS launcher

FROM ${WORKER}
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher

COPY deploy/dataflow/launcher-requirements.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement launcher-requirements.txt
COPY deploy/dataflow/launch.py ./
RUN python -c "import pipelines.score.score_job"

# Jobs run in the image that this one was made from, unless they name another.
ARG WORKER
ENV DIGITMILL_WORKER_IMAGE=${WORKER}
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/digitmill/launch.py
ENTRYPOINT ["/opt/google/dataflow/python_template_launcher"]
