# Two images from one file: `--target serve` answers requests, `--target train` makes models.
#   docker build --target serve -t halftone .
#   docker build --target train -t halftone-train .
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HALFTONE_MODELS=/models \
    HALFTONE_CACHE=/cache
# The first user of most machines, so that what is published into a mounted folder belongs to them.
# Any other `--user` works as well: nothing here belongs to this one but two empty folders.
RUN mkdir -p /models /cache \
    && chown 1000:1000 /models \
    && chmod 1777 /cache
WORKDIR /srv

# pip stays outside of the environments, so it is not in what ships.
FROM ${BASE} AS serve-packages
# `--build-arg PACKAGES=tracing` adds OpenTelemetry.
ARG PACKAGES=serve
COPY requirements/${PACKAGES}.txt /tmp/serve.txt
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
       --require-hashes --only-binary :all: -r /tmp/serve.txt \
    # Inference runs on the CPU: the other devices' plugins are a third of OpenVINO.
    && rm -f /opt/venv/lib/python3*/site-packages/openvino/libs/libopenvino_intel_[gn]pu_plugin.so \
       /opt/venv/lib/python3*/site-packages/openvino/libs/cache.json

FROM base AS serve
COPY --from=serve-packages /opt/venv /opt/venv
COPY app app
COPY model_store model_store
RUN python -m compileall -q app model_store
ENV HALFTONE_HOST=0.0.0.0 \
    HALFTONE_PORT=8000
USER 1000:1000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "app.health_check"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "app"]

FROM ${BASE} AS train-packages
# `--build-arg TRAINING_PACKAGES=gpu` adds CUDA; for x86-64 only.
ARG TRAINING_PACKAGES=train
COPY requirements/${TRAINING_PACKAGES}.txt /tmp/train.txt
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
       --require-hashes --only-binary :all: -r /tmp/train.txt

FROM base AS train
COPY --from=train-packages /opt/venv /opt/venv
COPY model_store model_store
COPY training training
RUN python -m compileall -q model_store training
ENV HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib
USER 1000:1000
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]

# What `docker build .` makes.
FROM serve
