# One image for every process: the command decides which.
FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/memstill
WORKDIR /src
COPY requirements.lock .
RUN /opt/memstill/bin/pip install --require-hashes --no-deps -r requirements.lock
COPY pyproject.toml README.md ./
COPY clients/python clients/python
COPY config config
COPY pipelines pipelines
COPY workers workers
RUN /opt/memstill/bin/pip install --no-deps --no-build-isolation ./clients/python .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home memstill
COPY --from=build /opt/memstill /opt/memstill
ENV PATH=/opt/memstill/bin:$PATH PYTHONUNBUFFERED=1
USER memstill
WORKDIR /home/memstill
EXPOSE 8377
CMD ["memstill", "--help"]
